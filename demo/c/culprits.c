/* The event classes of the story: one that behaves, and three that ruin other systems. */
#include "shop.h"

#include <unistd.h>

static int32_t behave(void *user_data, const lses_event *event) {
  (void)user_data;
  (void)event;
  return LSES_ALLOW;
}

static int32_t throw(void *user_data, const lses_event *event) {
  (void)user_data;
  lses_event_say(event, "the mail server is not there", LSES_NTS);
  return LSES_FAILED;
}

static int32_t hang(void *user_data, const lses_event *event) {
  (void)user_data;
  (void)event;
  for (;;) pause(); /* never returns */
  return LSES_ALLOW;
}

static int32_t keep(void *user_data, const lses_event *event) {
  (void)user_data;
  lses_event_set_end_session(event, 0);
  return LSES_ALLOW;
}

static lses_status add(lses_manager *manager, const char *name, lses_event_fn on_end, uint32_t compat_veto) {
  lses_event_class class = LSES_EVENT_CLASS_INIT;
  class.on_end = on_end;
  class.compat_veto = compat_veto;
  return lses_manager_register(manager, name, LSES_NTS, NULL, 0, &class);
}

lses_status culprits_register(lses_manager *manager) {
  lses_status status = add(manager, "mailer", behave, 0);
  if (status == LSES_OK) status = add(manager, "throws", throw, 0);
  if (status == LSES_OK) status = add(manager, "hangs", hang, 0);
  if (status == LSES_OK) status = add(manager, "keeps", keep, LSES_YES);
  return status;
}
