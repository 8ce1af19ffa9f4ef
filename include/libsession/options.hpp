// Part of libsession.hpp: what calls take and give.
#ifndef LIBSESSION_OPTIONS_HPP
#define LIBSESSION_OPTIONS_HPP

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <libsession/plumbing.hpp>

namespace libsession {

/// An application; what is not given has the default of lses_application.
struct application {
  std::string name;
  std::string name_space;
  std::optional<std::string> pool;
  std::vector<std::string> event_classes;
  std::vector<std::string> required_event_classes;
  std::optional<milliseconds> idle_timeout;
  std::optional<milliseconds> absolute_timeout;
  std::optional<std::int64_t> max_sessions;
  std::optional<std::int64_t> max_extensions;
  std::optional<milliseconds> extension_cap;
  std::optional<milliseconds> ask_lead;
  std::optional<libsession::license_class> license_class;
  std::optional<lock_mode> lock;
  std::optional<application_timeout> timeout_on_application_change;
  std::optional<bool> enabled;
  std::optional<bool> protected_from_bulk_end;
  std::optional<bool> event_classes_on_entry;
  std::optional<bool> debug;
  std::optional<libsession::lazy_until> lazy_until;
  std::optional<bool> detect_crawlers;
  std::vector<std::string> crawlers;
  std::optional<milliseconds> anonymous_idle_timeout;
};

/// Units of a pool that are set apart for some: users by name, or "user:NAME", and groups as "group:NAME".
struct reservation {
  std::vector<std::string> members;
  std::uint64_t units = 0;
  bool hard = true;  ///< Whether nobody else may use the units meanwhile.
};

/// A license pool; what is not given has the default of lses_pool.
struct pool {
  std::string name;
  std::uint64_t capacity = 0;
  std::optional<libsession::unit_rule> unit_rule;
  std::optional<std::int64_t> max_connections;
  std::optional<std::int64_t> max_sessions_per_holder;
  std::optional<std::int64_t> anonymous_cap;
  std::optional<std::int64_t> anonymous_per_client;
  std::optional<std::int64_t> queue;  ///< most who may wait for units: up to 1,000,000
  std::optional<std::int64_t> low;
  std::optional<std::int64_t> audit_records;
  std::optional<bool> holder_per_client;
  bool refuse_login_on_trade_failure = false;
  std::optional<std::int64_t> recovered;
  std::optional<milliseconds> linger;
  std::optional<milliseconds> lazy_linger;  ///< where a lazy session needed the unit last
  std::optional<milliseconds> min_hold;
  std::optional<milliseconds> anonymous_min_hold;
  std::optional<milliseconds> lazy_min_hold;
  std::optional<bool> reclaim;
  std::optional<std::int64_t> overdraft;
  std::optional<std::int64_t> overdraft_percent;
  std::optional<milliseconds> overdraft_time;
  std::optional<libsession::evict> evict;
  std::optional<milliseconds> evict_idle;
  std::optional<libsession::at_session_limit> at_session_limit;
  std::vector<reservation> reservations;
  std::optional<std::int64_t> break_glass;
  std::vector<std::string> administrators;
  std::vector<std::string> include;
  std::vector<std::string> exclude;
};

/// Stands for one wait, in the queue of a pool or for a session's lock: cancels the wait, and tells the position in the queue. Any
/// thread may use it; destroyed while a call waits with it, the wait goes on.
class ticket {
 public:
  static result<ticket> try_make() {
    lses_ticket* handle = nullptr;
    auto status = lses_ticket_new(&handle);
    if (status != LSES_OK) return failure::last(status);
    return ticket(handle);
  }
  ticket() : ticket(try_make().value()) {}
  explicit ticket(lses_ticket* handle) noexcept : handle_(handle) {}
  lses_ticket* get() const noexcept { return handle_.get(); }

  /// Cancels the wait, or the next one before it begins.
  result<void> try_cancel() const { return detail::check(lses_ticket_cancel(get())); }
  void cancel() const { try_cancel().value(); }
  /// How many come first, plus one; none if nothing waits in a queue with this ticket.
  result<std::optional<std::uint64_t>> try_position() const {
    std::uint64_t position = 0;
    auto status = lses_ticket_position(get(), &position);
    if (status != LSES_OK) return failure::last(status);
    return position == 0 ? std::nullopt : std::optional<std::uint64_t>(position);
  }
  std::optional<std::uint64_t> position() const { return try_position().value(); }
  /// Whether a call waits with this ticket now.
  result<bool> try_waits() const {
    std::int32_t waits = 0;
    auto status = lses_ticket_waits(get(), &waits);
    return detail::number(status, waits != 0);
  }
  bool waits() const { return try_waits().value(); }

 private:
  detail::owner<lses_ticket, lses_ticket_free> handle_;
};

/// How a session is made; what is not given has the default of lses_create_options.
struct create_options {
  std::optional<std::string> application;
  std::optional<std::string> address;
  std::optional<std::string> user_agent;
  std::optional<std::string> referrer;
  std::optional<std::string> data;  ///< A JSON object.
  std::optional<milliseconds> idle_timeout;
  std::optional<milliseconds> absolute_timeout;
  std::optional<libsession::license_class> license_class;
  std::optional<milliseconds> wait = {};  ///< how long it waits in the queue of the pool if there is no unit
  int priority = 0;                       ///< who has a higher one is served first: -9 to 9
  const libsession::ticket* ticket = nullptr;  ///< tells the position, and cancels

  lses_create_options raw() const noexcept {
    lses_create_options it = LSES_CREATE_OPTIONS_INIT;
    it.application = detail::str(application);
    it.address = detail::str(address);
    it.user_agent = detail::str(user_agent);
    it.referrer = detail::str(referrer);
    it.data = detail::str(data);
    it.idle_timeout_ms = detail::ms(idle_timeout);
    it.absolute_timeout_ms = detail::ms(absolute_timeout);
    it.license_class = detail::code(license_class);
    it.wait_ms = detail::ms(wait);
    it.priority = priority;
    it.ticket = ticket == nullptr ? nullptr : ticket->get();
    return it;
  }
};

/// How a request begins; what is not given has the default of lses_begin_options.
struct begin_options {
  std::optional<std::string> application;
  std::optional<milliseconds> lock_timeout;
  std::optional<touch_kind> touch;
  std::optional<lock_mode> lock;
  const libsession::ticket* ticket = nullptr;  ///< cancels the wait for the lock

  lses_begin_options raw() const noexcept {
    lses_begin_options it = LSES_BEGIN_OPTIONS_INIT;
    it.application = detail::str(application);
    it.lock_timeout_ms = detail::ms(lock_timeout);
    it.touch = detail::code(touch);
    it.lock = detail::code(lock);
    it.ticket = ticket == nullptr ? nullptr : ticket->get();
    return it;
  }
};

/// How a session is ended; what is not given has the default of lses_end_options.
struct end_options {
  std::optional<std::string> actor;
  std::optional<std::string> note;
  std::optional<milliseconds> wait;
  std::optional<end_level> level;
  std::optional<end_reason> reason;

  lses_end_options raw() const noexcept {
    lses_end_options it = LSES_END_OPTIONS_INIT;
    it.actor = detail::str(actor);
    it.note = detail::str(note);
    it.wait_ms = detail::ms(wait);
    it.level = detail::code(level);
    it.reason = detail::code(reason);
    return it;
  }
};

/// How a feature is taken.
struct feature_options {
  std::uint64_t count = 1;  ///< how often, at once: 1 to 1000, all or none
  std::vector<std::string> groups;  ///< those that the user belongs to; empty: the manager's group resolver is asked for them
  std::optional<milliseconds> wait = {};  ///< how long it waits in the queue of the pool if there is no unit
  int priority = 0;                       ///< who has a higher one is served first: -9 to 9
  const libsession::ticket* ticket = nullptr;  ///< tells the position, and cancels
  bool no_groups = false;  ///< the user belongs to none: nobody is asked for them

  /// `all` are the groups' texts.
  lses_feature_options raw(const std::vector<lses_str>& all) const noexcept {
    lses_feature_options it = LSES_FEATURE_OPTIONS_INIT;
    it.groups = detail::given(all, no_groups);
    it.group_count = all.size();
    it.count = count > INT64_MAX ? INT64_MAX : static_cast<std::int64_t>(count);
    it.wait_ms = detail::ms(wait);
    it.priority = priority;
    it.ticket = ticket == nullptr ? nullptr : ticket->get();
    return it;
  }
};

/// What else is known of who logs in.
struct login_options {
  std::vector<std::string> groups;  ///< those that the user belongs to; empty: the manager's group resolver is asked for them
  std::optional<milliseconds> wait = {};  ///< how long it waits in the queue of the pool if there is no unit
  int priority = 0;                       ///< who has a higher one is served first: -9 to 9
  const libsession::ticket* ticket = nullptr;  ///< tells the position, and cancels
  bool no_groups = false;  ///< the user belongs to none: nobody is asked for them

  /// `all` are the groups' texts.
  lses_login_options raw(const std::vector<lses_str>& all) const noexcept {
    lses_login_options it = LSES_LOGIN_OPTIONS_INIT;
    it.groups = detail::given(all, no_groups);
    it.group_count = all.size();
    it.wait_ms = detail::ms(wait);
    it.priority = priority;
    it.ticket = ticket == nullptr ? nullptr : ticket->get();
    return it;
  }
};

/// Which sessions are meant; an empty one means all.
struct filter {
  std::optional<std::string> user, application, pool, holder;
  std::optional<milliseconds> older_than, idle_for;
  std::optional<bool> active;  ///< true: had a request; false: none yet.
  std::optional<bool> overdue, damaged, immortal;

  lses_filter raw() const noexcept {
    lses_filter it = LSES_FILTER_INIT;
    it.user = detail::str(user);
    it.application = detail::str(application);
    it.pool = detail::str(pool);
    it.holder = detail::str(holder);
    it.older_than_ms = detail::ms(older_than);
    it.idle_for_ms = detail::ms(idle_for);
    it.state = active ? (*active ? LSES_STATE_ACTIVE : LSES_STATE_NEW) : 0;
    it.overdue = detail::choice(overdue);
    it.damaged = detail::choice(damaged);
    it.immortal = detail::choice(immortal);
    return it;
  }
};

/// The outcome of an end.
struct end_outcome {
  lses_status status = LSES_OK;  ///< LSES_OK, LSES_GONE (another had ended it), LSES_EXTENDED or LSES_ABSENT.
  lses_receipt receipt = LSES_RECEIPT_INIT;
  std::string json;  ///< All of the receipt.
};

namespace detail {
template <class Call>
result<end_outcome> ended(Call call) {
  end_outcome it;
  buf text;
  it.status = call(&it.receipt, text.out());
  if (it.status < 0) return failure::last(it.status);
  it.json = text.text();
  return it;
}
}  // namespace detail

/// A session that was made.
struct created {
  std::string id;
  std::string token;
};

/// The outcome of a login.
struct login {
  std::string token;
  std::optional<deny_reason> trade_denied;
};

}  // namespace libsession

#endif
