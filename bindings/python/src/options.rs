//! Options of calls, read from keyword arguments.

use libsession_core::{
    BeginOptions, Client, CreateOptions, EndOptions, EndReason, FeatureOptions, Filter, LoginOptions, QueueOptions,
    State, Ticket as CoreTicket,
};
use libsession_core::{EndLevel, SessionId};
use pyo3::Borrowed;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyMapping, PyString};

use crate::config::flag;
use crate::duration::{duration, given_timeout, optional};
use crate::errors::{invalid, raise};
use crate::ticket::Ticket;
use crate::value;
use crate::words::parse_option;

/// An argument that may be left out.
type Argument<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// What a call says of waiting for license units: how long, its priority, its ticket.
type Waiting<'a, 'py> = (Argument<'a, 'py>, Argument<'a, 'py>, Argument<'a, 'py>);

/// An argument that may be left out, which is something else than `None`.
pub struct Given<'py>(pub Option<Bound<'py, PyAny>>);

impl<'py> FromPyObject<'_, 'py> for Given<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self(Some(object.to_owned())))
    }
}

/// A keyword argument that is neither missing nor `None`.
fn present<'py>(options: &Bound<'py, PyDict>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(options.get_item(name)?.filter(|value| !value.is_none()))
}

/// A text that may be left out.
pub fn text(what: &str, object: Argument<'_, '_>) -> PyResult<Option<String>> {
    object.filter(|object| !object.is_none()).map(|object| required_text(what, object)).transpose()
}

/// A text. `Invalid` for anything else, and for one that is no UTF-8.
pub fn required_text(what: &str, object: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = object.py();
    match object.cast::<PyString>() {
        Ok(text) => text.to_str().map(str::to_owned).map_err(|_| invalid(py, format!("{what} is no UTF-8 text"))),
        Err(_) => Err(invalid(py, format!("{what} is a str, not {}", object.get_type()))),
    }
}

/// A whole number of at least 0. `Invalid` names the bounds of its type; those of what it means are the core's.
pub fn count<T: TryFrom<u64>>(what: &str, object: &Bound<'_, PyAny>) -> PyResult<T> {
    object.extract::<u64>().ok().and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
        let most = u64::MAX >> (64 - 8 * size_of::<T>().min(8));
        invalid(object.py(), format!("{what} is a whole number from 0 to {most}, not {}", shown(object)))
    })
}

/// A value for messages: short, and never a failure.
pub fn shown(object: &Bound<'_, PyAny>) -> String {
    let class = object.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
    if !object.is_instance_of::<PyString>() && !object.is_instance_of::<PyInt>() && !object.is_instance_of::<PyFloat>()
    {
        return format!("a {class}");
    }
    object.repr().map_or_else(|_| format!("a {class}"), |text| text.to_string_lossy().chars().take(60).collect())
}

/// Arguments of which each is checked under its name.
macro_rules! arguments {
    ($($(#[$about:meta])* $name:ident: $type:ty = $check:ident,)+) => {
        $($(#[$about])* pub fn $name(object: &Bound<'_, PyAny>) -> PyResult<$type> {
            $check(stringify!($name), object)
        })+
    };
}

/// How an argument of this name is read.
pub mod argument {
    use pyo3::prelude::*;

    use super::{count, required_text, text};

    arguments! {
        /// The name of a pool.
        pool: String = required_text,
        /// A holder.
        holder: String = required_text,
        /// The name of a reader.
        reader: String = required_text,
        /// A session's public id.
        id: String = required_text,
        /// A name.
        name: String = required_text,
        /// A namespace.
        namespace: String = required_text,
        /// A position.
        after: u64 = count,
        /// A place to go on at.
        cursor: u64 = count,
        /// How many at most.
        limit: usize = count,
        /// How many not.
        skip: usize = count,
        /// How many at most.
        max: usize = count,
    }

    /// A name, or None.
    pub fn name_or_none(object: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        text("name", Some(object))
    }

    /// A namespace, or None.
    pub fn namespace_or_none(object: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        text("namespace", Some(object))
    }
}

/// A session's public id.
pub fn session_id(py: Python<'_>, text: &str) -> PyResult<SessionId> {
    SessionId::parse(text).map_err(|error| raise(py, &error))
}

/// How a session is made.
#[allow(clippy::too_many_arguments)]
pub fn create(
    application: Argument<'_, '_>,
    client: Argument<'_, '_>,
    data: Argument<'_, '_>,
    license_class: Argument<'_, '_>,
    idle_timeout: &Given<'_>,
    absolute_timeout: Argument<'_, '_>,
    waiting: Waiting<'_, '_>,
) -> PyResult<CreateOptions> {
    let queue = queue(waiting)?;
    let mut options =
        CreateOptions { application: text("application", application)?, queue, ..CreateOptions::default() };
    if let Some(client) = client.filter(|client| !client.is_none()) {
        options.client = Client {
            address: text("address", Some(&client.getattr("address")?))?,
            user_agent: text("user_agent", Some(&client.getattr("user_agent")?))?,
            referrer: text("referrer", Some(&client.getattr("referrer")?))?,
        };
    }
    if let Some(data) = data.filter(|data| !data.is_none()) {
        let Ok(mapping) = data.cast::<PyMapping>() else {
            return Err(invalid(data.py(), format!("data is a mapping, not {}", data.get_type())));
        };
        for item in mapping.items()?.iter() {
            let (key, item) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            options.data.push((required_text("a key of data", &key)?, value::from_py(&item)?));
        }
    }
    options.license_class = parse_option(license_class)?;
    options.idle_timeout = given_timeout("idle_timeout", idle_timeout.0.as_ref())?;
    options.absolute_timeout = optional("absolute_timeout", absolute_timeout)?.filter(|timeout| !timeout.is_zero());
    Ok(options)
}

/// How a request begins.
pub fn begin(
    touch: Argument<'_, '_>,
    lock: Argument<'_, '_>,
    lock_timeout: Argument<'_, '_>,
    application: Argument<'_, '_>,
) -> PyResult<BeginOptions> {
    Ok(BeginOptions {
        touch: parse_option(touch)?,
        lock: parse_option(lock)?,
        lock_timeout: optional("lock_timeout", lock_timeout)?,
        ticket: None,
        application: text("application", application)?,
    })
}

/// How a session is ended.
pub fn end(
    level: Argument<'_, '_>,
    reason: Argument<'_, '_>,
    actor: Argument<'_, '_>,
    note: Argument<'_, '_>,
    wait: Argument<'_, '_>,
) -> PyResult<EndOptions> {
    let defaults = EndOptions::default();
    Ok(EndOptions {
        level: parse_option::<EndLevel>(level)?.unwrap_or(defaults.level),
        reason: parse_option::<EndReason>(reason)?.unwrap_or(defaults.reason),
        actor: text("actor", actor)?,
        note: text("note", note)?,
        wait: optional("wait", wait)?,
    })
}

/// Whether it waits for license units: a wait always has a ticket, so that it can be given up.
fn queue((wait, priority, ticket): Waiting<'_, '_>) -> PyResult<QueueOptions> {
    let mut queue = QueueOptions { wait: optional("wait", wait)?.unwrap_or_default(), ..QueueOptions::default() };
    if let Some(priority) = priority.filter(|priority| !priority.is_none()) {
        queue.priority = priority
            .extract()
            .map_err(|_| invalid(priority.py(), format!("priority {priority} is not between -9 and 9")))?;
    }
    queue.ticket = match ticket.filter(|ticket| !ticket.is_none()) {
        Some(ticket) => match ticket.cast::<Ticket>() {
            Ok(ticket) => Some(ticket.get().0.clone()),
            Err(_) => return Err(invalid(ticket.py(), format!("ticket is a Ticket, not {}", ticket.get_type()))),
        },
        None if queue.wait.is_zero() => None,
        None => Some(CoreTicket::new()),
    };
    Ok(queue)
}

fn groups(groups: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Vec<String>>> {
    groups.map(group_names).transpose()
}

/// Names of groups; one text is not taken for its letters.
pub fn group_names(groups: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if groups.is_instance_of::<PyString>() {
        return Err(invalid(groups.py(), "groups are a list of texts, not one text"));
    }
    groups.try_iter()?.map(|group| required_text("a group", &group?)).collect()
}

/// The groups of who logs in, and whether it waits.
pub fn login(of: Argument<'_, '_>, waiting: Waiting<'_, '_>) -> PyResult<LoginOptions> {
    let queue = queue(waiting)?;
    Ok(LoginOptions { groups: groups(of)?, queue })
}

/// How a feature is taken.
pub fn feature(times: Argument<'_, '_>, of: Argument<'_, '_>, waiting: Waiting<'_, '_>) -> PyResult<FeatureOptions> {
    let queue = queue(waiting)?;
    let default = FeatureOptions::default();
    let count = times.map_or(Ok(default.count), |times| count("count", times))?;
    Ok(FeatureOptions { count, groups: groups(of)?, queue })
}

/// Which sessions are meant; an unknown name is `Invalid` and named.
pub fn filter(options: Option<&Bound<'_, PyDict>>) -> PyResult<Filter> {
    let mut filter = Filter::default();
    let Some(options) = options else { return Ok(filter) };
    for name in options.keys() {
        let name: String = name.extract()?;
        let Some(given) = present(options, &name)? else { continue };
        match name.as_str() {
            "user" => filter.user = text("user", Some(&given))?,
            "application" => filter.application = text("application", Some(&given))?,
            "pool" => filter.pool = text("pool", Some(&given))?,
            "holder" => filter.holder = text("holder", Some(&given))?,
            "state" => filter.state = Some(state(&given)?),
            "overdue" => filter.overdue = Some(flag("overdue", &given)?),
            "damaged" => filter.damaged = Some(flag("damaged", &given)?),
            "immortal" => filter.immortal = Some(flag("immortal", &given)?),
            "older_than" => filter.older_than = Some(duration("older_than", &given)?),
            "idle_for" => filter.idle_for = Some(duration("idle_for", &given)?),
            _ => {
                return Err(invalid(
                    given.py(),
                    format!(
                        "there is no filter '{name}'; there are: user, application, pool, holder, state, overdue, \
                         damaged, immortal, older_than, idle_for"
                    ),
                ));
            }
        }
    }
    Ok(filter)
}

fn state(object: &Bound<'_, PyAny>) -> PyResult<State> {
    match required_text("state", object)?.as_str() {
        "new" => Ok(State::New),
        "active" => Ok(State::Active),
        other => Err(invalid(object.py(), format!("there is no state '{other}'; there are: new, active"))),
    }
}
