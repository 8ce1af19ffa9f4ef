/* What all servers of the shop agree on. settings.py and settings.mjs say the same: a store refuses a process that differs. */
#include "settings.h"

#include <stdlib.h>

#define STORE "file:/tmp/libsession-shop"

lses_status open_manager(lses_manager **manager) {
  const char *store = getenv("SHOP_STORE");
  lses_str classes[] = {lses_cstr("mailer")};
  lses_application application = LSES_APPLICATION_INIT;
  application.name = lses_cstr(APPLICATION);
  application.idle_timeout_ms = 3000;
  application.extension_cap_ms = 1000;
  application.event_classes = classes;
  application.event_class_count = 1;
  lses_pool pool = LSES_POOL_INIT;
  pool.name = lses_cstr(POOL);
  pool.capacity = 6;
  pool.queue = 10;

  lses_config *config = NULL;
  lses_status status = lses_config_new(&config);
  if (status == LSES_OK) status = lses_config_set_store(config, store ? store : STORE, LSES_NTS);
  if (status == LSES_OK) status = lses_config_set_profile(config, "iris", LSES_NTS);
  if (status == LSES_OK) status = lses_config_add_application(config, &application);
  if (status == LSES_OK) status = lses_config_add_pool(config, &pool);
  if (status == LSES_OK) status = lses_config_set_callback_deadline(config, 500);
  if (status == LSES_OK) status = lses_config_set_retries(config, 2);
  if (status == LSES_OK) status = lses_config_set_debug(config, 1);
  if (status == LSES_OK) status = lses_manager_new(config, manager);
  lses_config_free(config);
  return status;
}
