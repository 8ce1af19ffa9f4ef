/* Everything once: data, licenses, life, listings. */
#include "check.h"

static int ends, starts;

static int32_t on_start(void *user_data, const lses_event *event) {
  CHECK(user_data == &starts);
  CHECK(event->kind == LSES_EVENT_START && event->request != NULL);
  char id[LSES_ID_SIZE];
  OK(lses_request_id(event->request, id));
  CHECK(strcmp(id, event->session_id.data) == 0);
  OK(lses_request_set_text(event->request, "from", 4, "on_start", LSES_NTS));
  starts++;
  return LSES_ALLOW;
}

static int32_t on_end(void *user_data, const lses_event *event) {
  (void)user_data;
  lses_value value;
  lses_buf buf;
  lses_subscript cart = lses_key("from");
  OK(lses_event_get(event, &cart, 1, &value, &buf));
  CHECK(value.kind == LSES_VALUE_TEXT && strcmp(value.text, "on_start") == 0);
  lses_buf_free(&buf);
  OK(lses_event_data(event, &buf));
  CHECK(buf.len > 0);
  lses_buf_free(&buf);
  int64_t left;
  OK(lses_event_time_left(event, &left));
  CHECK(left > 0 && left <= 5000);
  CHECK(lses_event_say(event, "\xff", 1) == LSES_E_INVALID);
  ends++;
  return LSES_ALLOW;
}

int main(void) {
  CHECK(lses_check_abi());
  CHECK(lses_version() == LSES_VERSION_NUMBER && strcmp(lses_version_string(), LSES_VERSION_STRING) == 0);
  setup it = setup_with((setup_options){.idle_timeout_ms = 900000, .capacity = 2, .manual = 1});
  lses_manager *m = it.manager;
  lses_event_class watch = LSES_EVENT_CLASS_INIT;
  watch.user_data = &starts;
  watch.on_start = on_start;
  watch.on_end = on_end;
  OK(lses_manager_register(m, "watch", LSES_NTS, NULL, 0, &watch));
  STATUS(LSES_E_EXISTS, lses_manager_register(m, "watch", LSES_NTS, NULL, 0, &watch));

  lses_create_options create = LSES_CREATE_OPTIONS_INIT;
  create.address = lses_cstr("192.0.2.7");
  create.data = lses_cstr("{\"cart\":[1,2.5,\"three\"],\"n\":7}");
  lses_request *r;
  OK(lses_manager_begin_new(m, &create, NULL, &r));
  CHECK(starts == 1 && in_use(m) == 1);
  int32_t flag = -1;
  OK(lses_request_is_new(r, &flag));
  CHECK(flag == 1);
  char token[LSES_TOKEN_SIZE], id[LSES_ID_SIZE], again[LSES_ID_SIZE];
  OK(lses_request_token(r, token));
  OK(lses_request_id(r, id));
  CHECK(strlen(token) == 40 && strlen(id) == 22);
  OK(lses_manager_id_of(m, token, 40, again));
  CHECK(strcmp(id, again) == 0);

  /* Data. */
  lses_value value;
  lses_buf buf;
  lses_subscript path[2] = {lses_key("cart"), lses_index(3)};
  OK(lses_request_get(r, path, 1, &value, &buf));
  CHECK(value.kind == LSES_VALUE_JSON && strcmp(value.text, "[1,2.5,\"three\"]") == 0);
  lses_buf_free(&buf);
  lses_value number = lses_value_float(0.5);
  OK(lses_request_set(r, path, 2, &number));
  int32_t defined;
  OK(lses_request_defined(r, path, 1, &defined));
  CHECK(defined == 11);
  lses_subscript sub;
  OK(lses_request_next(r, path, 1, NULL, LSES_DIRECTION_FORWARD, &sub, &buf));
  CHECK(sub.kind == LSES_SUBSCRIPT_INT && sub.integer == 3);
  lses_buf_free(&buf);
  OK(lses_request_next(r, path, 1, &sub, LSES_DIRECTION_FORWARD, &sub, &buf));
  CHECK(sub.kind == LSES_SUBSCRIPT_NONE);
  OK(lses_request_entries(r, path, 1, &buf));
  CHECK(strcmp(buf.data, "[[[],[1,2.5,\"three\"]],[[3],0.5]]") == 0);
  OK(lses_request_merge(r, NULL, 0, buf.data, buf.len));
  lses_buf_free(&buf);
  lses_subscript n = lses_key("n");
  lses_value seven = lses_value_int(7), eight = lses_value_int(8);
  OK(lses_request_save(r));
  OK(lses_request_compare_and_set(r, &n, 1, &seven, &eight));
  STATUS(LSES_E_CONFLICT, lses_request_compare_and_set(r, &n, 1, &seven, &eight));
  CHECK(strstr(lses_last_error_keys(), "n") != NULL);
  uint64_t version;
  OK(lses_request_get_versioned(r, &n, 1, &value, &buf, &version));
  CHECK(value.kind == LSES_VALUE_INT && value.integer == 8 && version > 0);
  lses_value big = lses_value_text(NULL);
  char *huge = malloc(100000);
  memset(huge, 'x', 100000);
  big.text = huge;
  big.text_len = 100000;
  STATUS(LSES_E_QUOTA, lses_request_set(r, &n, 1, &big));
  free(huge);
  OK(lses_request_pop(r, &n, 1, &value, &buf));
  CHECK(value.kind == LSES_VALUE_INT && value.integer == 8);
  OK(lses_request_kill(r, &n, 1, &flag));
  CHECK(flag == 0);
  size_t size;
  OK(lses_request_bytes_used(r, &size));
  CHECK(size > 0);

  /* Lock, classes, attachments. */
  uint32_t lock;
  OK(lses_request_lock_mode(r, &lock));
  CHECK(lock == LSES_LOCK_EXCLUSIVE);
  OK(lses_request_unlock(r, 1));
  OK(lses_request_lock_mode(r, &lock));
  CHECK(lock == 0);
  OK(lses_request_lock(r, LSES_LOCK_SHARED, 0));
  OK(lses_request_event_class_add(r, "more", LSES_NTS, NULL, 0));
  OK(lses_request_event_class_exists(r, "more", LSES_NTS, NULL, 0, &flag));
  CHECK(flag == 1);
  OK(lses_request_event_class_list(r, &buf));
  CHECK(strcmp(buf.data, "[{\"namespace\":\"\",\"name\":\"more\"},{\"namespace\":\"\",\"name\":\"watch\"}]") == 0);
  lses_buf_free(&buf);
  OK(lses_request_event_class_remove(r, "more", LSES_NTS, NULL, 0, &flag));
  CHECK(flag == 1);
  char *object = strdup("object");
  void *kept = NULL;
  OK(lses_request_attach(r, "it", 2, object, free));
  OK(lses_request_attachment(r, "it", 2, &kept));
  CHECK(kept == object);
  OK(lses_request_detach(r, "it", 2, &kept));
  CHECK(kept == object);
  free(object);
  OK(lses_request_attach(r, "it", 2, strdup("one"), free));
  OK(lses_request_attach(r, "it", 2, strdup("two"), free));

  /* Login and logout. */
  lses_status trade = 1;
  char fresh[LSES_TOKEN_SIZE];
  OK(lses_request_login(r, "ann", LSES_NTS, fresh, &trade));
  CHECK(trade == LSES_OK && strcmp(fresh, token) != 0);
  OK(lses_request_user(r, &buf));
  CHECK(strcmp(buf.data, "ann") == 0);
  lses_buf_free(&buf);
  OK(lses_request_license_holder(r, &buf));
  CHECK(strcmp(buf.data, "ann") == 0);
  lses_buf_free(&buf);
  OK(lses_manager_usage(m, "users", LSES_NTS, NULL, &buf));
  CHECK(strstr(buf.data, "\"holder\":\"ann\",\"kind\":\"user\"") != NULL);
  lses_buf_free(&buf);
  OK(lses_request_logout(r, 0, fresh, NULL, NULL));
  OK(lses_request_user(r, &buf));
  CHECK(buf.data == NULL);
  OK(lses_request_rotate(r, token));
  OK(lses_request_info(r, &buf));
  CHECK(strstr(buf.data, "\"address\":\"192.0.2.7\"") != NULL);
  lses_buf_free(&buf);
  OK(lses_request_finish(r));
  STATUS(LSES_E_CLOSED, lses_request_save(r));
  lses_request_free(r);
  STATUS(LSES_E_STALE_HANDLE, lses_request_save(r));
  lses_request_free(r);

  /* From outside. */
  int64_t left;
  OK(lses_manager_touch(m, token, 40, LSES_TOUCH_ACTIVITY, &left, NULL));
  CHECK(left == 900000);
  STATUS(LSES_ABSENT, lses_manager_touch(m, "nobody", LSES_NTS, 0, &left, NULL));
  STATUS(LSES_ABSENT, lses_manager_touch(m, "\xff\xfe", 2, 0, &left, NULL));
  uint64_t next = 7;
  OK(lses_manager_list(m, NULL, 0, 100, &buf, &next));
  CHECK(next == 0 && strstr(buf.data, id) != NULL);
  lses_buf_free(&buf);
  OK(lses_manager_explain(m, id, 22, &buf));
  CHECK(strstr(buf.data, "\"live\":{") != NULL);
  lses_buf_free(&buf);
  OK(lses_manager_set_idle_timeout(m, id, 22, 60000));
  STATUS(LSES_E_INVALID, lses_manager_set_idle_timeout(m, id, 22, -5));
  CHECK(strstr(lses_last_error_message(), "-5") != NULL);
  OK(lses_clock_advance(it.clock, 60000, NULL));
  CHECK(ends == 1 && in_use(m) == 0);
  uint32_t reason = 0;
  STATUS(LSES_GONE, lses_manager_begin(m, token, 40, NULL, &r, &reason));
  CHECK(r == NULL && reason == LSES_REASON_IDLE_TIMEOUT && lses_last_error_reason() == reason);

  OK(lses_manager_create(m, NULL, token, id));
  lses_receipt receipt = LSES_RECEIPT_INIT;
  lses_end_options end = LSES_END_OPTIONS_INIT;
  end.actor = lses_cstr("admin");
  end.reason = LSES_REASON_REVOKED;
  end.wait_ms = 1000;
  OK(lses_manager_end(m, id, 22, &end, &receipt, &buf));
  CHECK(receipt.reason == LSES_REASON_REVOKED && receipt.license_free_at_ms == 60000);
  CHECK(strstr(buf.data, "\"actor\":\"admin\"") != NULL && strstr(buf.data, "\"outcome\":\"ended\"") != NULL);
  lses_buf_free(&buf);
  STATUS(LSES_GONE, lses_manager_end(m, id, 22, NULL, &receipt, NULL));
  STATUS(LSES_ABSENT, lses_manager_end(m, "AAAAAAAAAAAAAAAAAAAAAA", 22, NULL, NULL, NULL));

  OK(lses_manager_create(m, NULL, token, id));
  lses_progress progress = LSES_PROGRESS_INIT;
  OK(lses_manager_end_where(m, NULL, NULL, 0, 100, &progress));
  CHECK(progress.changed == 1 && progress.next == 0);
  OK(lses_clock_advance(it.clock, 0, NULL));
  lses_stats stats = LSES_STATS_INIT;
  OK(lses_manager_stats(m, &stats, &buf));
  CHECK(stats.live == 0 && stats.created == 3 && stats.ended == 3 && stats.size == sizeof stats);
  CHECK(stats.ended_by_reason[LSES_REASON_REVOKED] == 1 && strstr(buf.data, "\"revoked\":1") != NULL);
  lses_buf_free(&buf);
  OK(lses_manager_audit(m, "users", 5, &buf));
  CHECK(strcmp(buf.data, "{\"pool\":\"users\",\"counted\":0,\"recounted\":0,\"differences\":[]}") == 0);
  lses_buf_free(&buf);
  OK(lses_manager_audit_records(m, "users", 5, 0, 100, &buf));
  CHECK(strstr(buf.data, "\"kind\":\"trade\"") != NULL);
  lses_buf_free(&buf);
  OK(lses_manager_lifecycle(m, 0, 100, &buf));
  CHECK(strstr(buf.data, "\"what\":\"created\"") != NULL);
  lses_buf_free(&buf);
  OK(lses_manager_pools(m, &buf));
  CHECK(strcmp(buf.data, "[\"users\"]") == 0);
  lses_buf_free(&buf);
  OK(lses_manager_unregister(m, "watch", LSES_NTS, NULL, 0, &flag));
  CHECK(flag == 1 && ends == 3);
  lses_manager *other;
  OK(lses_manager_clone(m, &other));
  lses_manager_free(other);
  STATUS(LSES_E_STALE_HANDLE, lses_manager_count(other, &next));
  teardown(it);
  puts("smoke: ok");
  return 0;
}
