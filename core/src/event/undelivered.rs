//! Events that are never delivered by themselves: those of an end of level `kill`.

use super::dispatcher::{Delivery, Dispatcher};
use crate::id::SessionId;

impl Dispatcher {
    /// Keeps deliveries as dead letters without trying them.
    pub fn record_undelivered(&self, _session: SessionId, deliveries: Vec<Delivery>, error: &str) {
        for delivery in deliveries {
            self.give_up(None, delivery.origin, delivery.class, delivery.event, 0, error);
        }
    }
}
