use super::*;

/// `cargo test --release -- --ignored --nocapture a_mass_expiry`
#[test]
#[ignore = "a measurement"]
fn a_mass_expiry_costs_little_for_each_delivery() {
    for (own_threads, workers) in [(true, 4), (true, 1), (false, 1)] {
        measure(DispatchConfig { queue: 1 << 20, own_threads, workers, ..config() });
    }
}

fn measure(config: DispatchConfig) {
    let (own_threads, workers) = (config.own_threads, config.workers);
    let world = world_with(config);
    world.class("c", |_, _, reply| reply.done());
    let kinds = [EventKind::Timeout, EventKind::End];
    for round in 0..3u64 {
        let lanes: Vec<(SessionId, Vec<Delivery>)> = (0..100_000u64)
            .map(|n| {
                let mut bytes = [0; 16];
                bytes[..8].copy_from_slice(&n.to_le_bytes());
                let told = |kind| Delivery { class: class("c"), event: event(kind, 1, n), redelivered: false };
                (SessionId(bytes), kinds.map(told).into())
            })
            .collect();
        let begun = Instant::now();
        for (lane, deliveries) in lanes {
            world.dispatcher.notify(lane, deliveries, None, false);
        }
        let told = begun.elapsed();
        if !own_threads {
            world.dispatcher.dispatch(usize::MAX, Duration::ZERO).expect("dispatch");
        }
        world.drain();
        println!(
            "{own_threads} {workers} {round}: {told:?} to notify, {:?} until all 200,000 were delivered",
            begun.elapsed()
        );
    }
    assert_eq!(world.errors(), [""; 0]);
}
