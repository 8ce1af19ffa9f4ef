//! The story of `examples/README.md` in Rust: `cargo run -p libsession-examples --bin hello`.

use std::time::Duration;

use libsession_core::{
    Application, Begin, BeginOptions, Callbacks, Clock, Config, CreateOptions, EventClass, EventKind, Manager,
    ManualClock, Pool, Result, Subscript, Value, Verdict,
};

fn main() -> Result<()> {
    let clock = ManualClock::new();
    let shop = Application::new("shop").idle_timeout(Duration::from_secs(900)).event_class("greeter");
    let manager =
        Manager::new(Config::new().application(shop).pool(Pool::new("users", 1)).clock(Clock::Manual(clock.clone())))?;
    let greeter = Callbacks::new().on(EventKind::End, |event| {
        println!("ended: {}", event.reason.map_or("", |reason| reason.name()));
        Ok(Verdict::Allow)
    });
    manager.register(EventClass::new("greeter", greeter))?;

    let created = manager.create(CreateOptions::new("shop"))?;
    let request = manager.begin(&created.token.reveal(), BeginOptions::default())?.live()?;
    request.set(&[Subscript::from("product")], Value::from("tea"))?;
    let token = request.login("ada")?.token;
    let (user, product) = (request.user()?, request.get(&[Subscript::from("product")])?);
    if let (Some(user), Some(product)) = (user, product.as_ref().and_then(Value::as_text)) {
        println!("hello {user}, {product} is in the cart");
    }
    request.finish()?;

    if let Err(refused) = manager.create(CreateOptions::new("shop")) {
        println!("no unit left: {}", refused.deny_reason().map_or("", |reason| reason.name()));
    }

    clock.advance(Duration::from_secs(900))?;
    if let Begin::Gone(reason) = manager.begin(&token.reveal(), BeginOptions::default())? {
        println!("gone: {reason}");
    }
    println!("units in use: {}", manager.usage("users")?.in_use);
    manager.close(Duration::from_secs(1));
    Ok(())
}
