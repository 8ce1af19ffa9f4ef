// Part of libsession.hpp: clocks and the configuration.
#ifndef LIBSESSION_CONFIG_HPP
#define LIBSESSION_CONFIG_HPP

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <libsession/options.hpp>

namespace libsession {

/// A clock that stands still until it is told.
class manual_clock {
 public:
  manual_clock() {
    lses_clock* handle = nullptr;
    detail::check(lses_clock_manual(&handle)).value();
    handle_.reset(handle);
  }
  lses_clock* get() const noexcept { return handle_.get(); }
  /// Goes forward, and does what is due; tells how many callbacks still run.
  result<std::size_t> try_advance(milliseconds by) {
    std::size_t pending = 0;
    auto status = lses_clock_advance(handle_.get(), by.count(), &pending);
    return detail::number(status, pending);
  }
  std::size_t advance(milliseconds by) { return try_advance(by).value(); }
  void suspend(milliseconds by) { detail::check(lses_clock_suspend(handle_.get(), by.count())).value(); }
  void set_wall(std::int64_t unix_ms) { detail::check(lses_clock_set_wall(handle_.get(), unix_ms)).value(); }
  void set_settle(milliseconds it) { detail::check(lses_clock_set_settle(handle_.get(), it.count())).value(); }
  std::uint64_t now() const {
    std::uint64_t ms = 0;
    detail::check(lses_clock_now(handle_.get(), &ms)).value();
    return ms;
  }

 private:
  detail::owner<lses_clock, lses_clock_free> handle_;
};

/// What a manager is opened with. Calls can be chained; what is wrong is told by the manager.
class config {
 public:
  config() {
    lses_config* handle = nullptr;
    detail::check(lses_config_new(&handle)).value();
    handle_.reset(handle);
  }
  lses_config* get() const noexcept { return handle_.get(); }
  /// The first setter that was refused, if one was.
  const std::optional<failure>& refused() const noexcept { return refused_; }

  config& store(std::string_view it) { return took(lses_config_set_store(get(), it.data(), it.size())); }
  config& adopt(bool it = true) { return took(lses_config_set_adopt(get(), it)); }
  config& durability(std::string_view it) { return took(lses_config_set_durability(get(), it.data(), it.size())); }
  config& profile(std::string_view it) { return took(lses_config_set_profile(get(), it.data(), it.size())); }
  config& clock(const manual_clock& it) { return took(lses_config_set_clock(get(), it.get())); }
  config& dispatch(dispatch_mode it) { return took(lses_config_set_dispatch(get(), static_cast<std::uint32_t>(it))); }
  config& threads(bool it) { return took(lses_config_set_threads(get(), it)); }
  config& workers(std::size_t workers, std::size_t decider_workers) { return took(lses_config_set_workers(get(), workers, decider_workers)); }
  config& max_stuck(std::size_t it) { return took(lses_config_set_max_stuck(get(), it)); }
  config& queue(std::size_t it) { return took(lses_config_set_queue(get(), it)); }
  config& lifecycle_log(std::size_t it) { return took(lses_config_set_lifecycle_log(get(), it)); }
  config& retries(std::uint32_t it) { return took(lses_config_set_retries(get(), it)); }
  config& max_sessions(std::uint64_t it) { return took(lses_config_set_max_sessions(get(), it)); }
  config& callback_deadline(milliseconds it) { return took(lses_config_set_callback_deadline(get(), it.count())); }
  config& tombstone(milliseconds it) { return took(lses_config_set_tombstone(get(), it.count())); }
  config& max_request(milliseconds it) { return took(lses_config_set_max_request(get(), it.count())); }
  config& lock_timeout(milliseconds it) { return took(lses_config_set_lock_timeout(get(), it.count())); }
  config& rotation_grace(milliseconds it) { return took(lses_config_set_rotation_grace(get(), it.count())); }
  config& breaker(std::uint32_t failures, milliseconds probe) { return took(lses_config_set_breaker(get(), failures, probe.count())); }
  config& dead_letters(std::size_t count, std::size_t bytes) { return took(lses_config_set_dead_letters(get(), count, bytes)); }
  config& quotas(std::size_t session_bytes, std::size_t levels, std::size_t value_bytes, std::size_t subscript_bytes) {
    return took(lses_config_set_quotas(get(), session_bytes, levels, value_bytes, subscript_bytes));
  }
  config& idle_counts_suspend(bool it) { return took(lses_config_set_idle_counts_suspend(get(), it)); }
  config& debug(bool it) { return took(lses_config_set_debug(get(), it)); }
  config& add(const application& it) {
    auto classes = detail::strs(it.event_classes), required = detail::strs(it.required_event_classes);
    auto crawlers = detail::strs(it.crawlers);
    lses_application raw = LSES_APPLICATION_INIT;
    raw.name = detail::str(std::string_view(it.name));
    raw.name_space = detail::str(std::string_view(it.name_space));
    raw.pool = detail::str(it.pool);
    raw.event_classes = classes.data();
    raw.event_class_count = classes.size();
    raw.required_event_classes = required.data();
    raw.required_event_class_count = required.size();
    raw.idle_timeout_ms = detail::ms(it.idle_timeout);
    raw.absolute_timeout_ms = detail::ms(it.absolute_timeout);
    raw.max_sessions = it.max_sessions.value_or(LSES_UNSET);
    raw.max_extensions = it.max_extensions.value_or(LSES_UNSET);
    raw.extension_cap_ms = detail::ms(it.extension_cap);
    raw.ask_lead_ms = detail::ms(it.ask_lead);
    raw.license_class = detail::code(it.license_class);
    raw.lock = detail::code(it.lock);
    raw.timeout_on_application_change = detail::code(it.timeout_on_application_change);
    raw.enabled = detail::choice(it.enabled);
    raw.protected_from_bulk_end = detail::choice(it.protected_from_bulk_end);
    raw.event_classes_on_entry = detail::choice(it.event_classes_on_entry);
    raw.debug = detail::choice(it.debug);
    raw.lazy_until = detail::code(it.lazy_until);
    raw.detect_crawlers = detail::choice(it.detect_crawlers);
    raw.crawlers = crawlers.data();
    raw.crawler_count = crawlers.size();
    raw.anonymous_idle_timeout_ms = detail::ms(it.anonymous_idle_timeout);
    return took(lses_config_add_application(get(), &raw));
  }
  config& add(const pool& it) {
    lses_pool raw = LSES_POOL_INIT;
    raw.name = detail::str(std::string_view(it.name));
    raw.capacity = it.capacity;
    raw.max_connections = it.max_connections.value_or(LSES_UNSET);
    raw.max_sessions_per_holder = it.max_sessions_per_holder.value_or(LSES_UNSET);
    raw.anonymous_cap = it.anonymous_cap.value_or(LSES_UNSET);
    raw.anonymous_per_client = it.anonymous_per_client.value_or(LSES_UNSET);
    raw.queue = it.queue.value_or(LSES_UNSET);
    raw.low = it.low.value_or(LSES_UNSET);
    raw.audit_records = it.audit_records.value_or(LSES_UNSET);
    raw.unit_rule = detail::code(it.unit_rule);
    raw.trade_failure = it.refuse_login_on_trade_failure ? LSES_TRADE_FAILURE_REFUSE : LSES_TRADE_FAILURE_KEEP;
    raw.holder_per_client = detail::choice(it.holder_per_client);
    raw.recovered = it.recovered.value_or(LSES_UNSET);
    raw.linger_ms = detail::ms(it.linger);
    raw.min_hold_ms = detail::ms(it.min_hold);
    raw.anonymous_min_hold_ms = detail::ms(it.anonymous_min_hold);
    raw.lazy_linger_ms = detail::ms(it.lazy_linger);
    raw.lazy_min_hold_ms = detail::ms(it.lazy_min_hold);
    raw.reclaim = detail::choice(it.reclaim);
    raw.overdraft = it.overdraft.value_or(LSES_UNSET);
    raw.overdraft_percent = it.overdraft_percent.value_or(LSES_UNSET);
    raw.overdraft_time_ms = detail::ms(it.overdraft_time);
    raw.evict = detail::code(it.evict);
    raw.evict_idle_ms = detail::ms(it.evict_idle);
    raw.at_session_limit = detail::code(it.at_session_limit);
    raw.break_glass = it.break_glass.value_or(LSES_UNSET);
    std::vector<std::vector<lses_str>> members;
    std::vector<lses_reservation> reservations;
    for (const auto& one : it.reservations) {
      members.push_back(detail::strs(one.members));
      lses_reservation reserved = LSES_RESERVATION_INIT;
      reserved.members = members.back().data();
      reserved.member_count = members.back().size();
      reserved.units = one.units;
      reserved.hard = detail::choice(one.hard);
      reservations.push_back(reserved);
    }
    auto administrators = detail::strs(it.administrators);
    auto include = detail::strs(it.include), exclude = detail::strs(it.exclude);
    raw.reservations = reservations.data();
    raw.reservation_count = reservations.size();
    raw.administrators = administrators.data();
    raw.administrator_count = administrators.size();
    raw.include = include.data();
    raw.include_count = include.size();
    raw.exclude = exclude.data();
    raw.exclude_count = exclude.size();
    return took(lses_config_add_pool(get(), &raw));
  }

 private:
  config& took(lses_status status) {
    if (status != LSES_OK && !refused_) refused_ = failure::last(status);
    return *this;
  }
  detail::owner<lses_config, lses_config_free> handle_;
  std::optional<failure> refused_;
};

}  // namespace libsession

#endif
