//! The order of deliveries: one lane per session, each strictly in order. No clock, lock or thread.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;

use super::delivery::{After, Delivery};
use super::handler::Place;
use super::id_hash::IdMap;
use crate::id::SessionId;

/// What waits in a lane.
pub(crate) enum Item {
    /// A delivery and which attempt comes next.
    Deliver(Delivery, u32),
    After(After),
    /// As `After`, of a lane that was cleared: what came before it did not come to its end.
    Unsettled(After),
}

/// What was taken from a lane.
pub(crate) struct Job {
    pub lane: SessionId,
    pub place: Place,
    pub item: Item,
}

#[derive(Default)]
struct Lane {
    /// Never with [`Place::Skip`].
    queue: VecDeque<(Place, Item)>,
    state: LaneState,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum LaneState {
    #[default]
    Idle,
    /// In a ready queue.
    Ready,
    /// Its head was taken and is not done.
    Busy,
    /// Its head waits for its back-off.
    Paused,
}

/// Who takes from a ready queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taker {
    Worker = 0,
    Poll = 1,
}

/// All lanes.
pub(crate) struct Lanes {
    lanes: IdMap<SessionId, Lane>,
    ready: [VecDeque<SessionId>; 2],
    has_workers: bool,
    most: usize,
    queued: usize,
    high_water: usize,
}

impl Lanes {
    pub fn new(has_workers: bool, most: usize) -> Self {
        let ready = [VecDeque::new(), VecDeque::new()];
        Self { lanes: IdMap::default(), ready, has_workers, most, queued: 0, high_water: 0 }
    }

    /// Adds to a lane's end what fits; gives back what does not. Nothing is ready before [`open`](Self::open).
    pub fn push(&mut self, id: SessionId, items: Vec<(Place, Item)>) -> Vec<Item> {
        let mut rest = Vec::new();
        let lane = self.lanes.entry(id).or_default();
        for (place, item) in items {
            if matches!(item, Item::Deliver(..)) {
                if self.queued >= self.most {
                    rest.push(item);
                    continue;
                }
                self.queued += 1;
            }
            lane.queue.push_back((place, item));
        }
        self.high_water = self.high_water.max(self.queued);
        rest
    }

    /// Makes an idle lane ready for whoever its head is for, and forgets it if it is empty.
    pub fn open(&mut self, id: SessionId) {
        let Entry::Occupied(mut lane) = self.lanes.entry(id) else { return };
        if lane.get().state != LaneState::Idle {
            return;
        }
        let Some((place, _)) = lane.get().queue.front() else {
            lane.remove();
            return;
        };
        let taker = if *place == Place::Poll || !self.has_workers { Taker::Poll } else { Taker::Worker };
        lane.get_mut().state = LaneState::Ready;
        self.ready[taker as usize].push_back(id);
    }

    /// Takes the head of an idle lane whose head is for the calling thread.
    pub fn claim(&mut self, id: SessionId) -> Option<Job> {
        let lane = self.lanes.get(&id)?;
        if lane.state != LaneState::Idle || lane.queue.front().is_none_or(|(place, _)| *place != Place::Caller) {
            return None;
        }
        self.take_head(id)
    }

    /// Takes the head of a ready lane. The lane is busy until [`done`](Self::done).
    pub fn take(&mut self, taker: Taker) -> Option<Job> {
        let id = self.ready[taker as usize].pop_front()?;
        self.take_head(id)
    }

    fn take_head(&mut self, id: SessionId) -> Option<Job> {
        let lane = self.lanes.get_mut(&id)?;
        let (place, item) = lane.queue.pop_front()?;
        lane.state = LaneState::Busy;
        self.queued -= usize::from(matches!(item, Item::Deliver(..)));
        Some(Job { lane: id, place, item })
    }

    /// What was taken is done.
    pub fn done(&mut self, id: SessionId) {
        if let Some(lane) = self.lanes.get_mut(&id)
            && lane.state == LaneState::Busy
        {
            lane.state = LaneState::Idle;
        }
    }

    /// What was taken is to be tried again after [`resume`](Self::resume). Gives it back if the lane is gone.
    pub fn pause(&mut self, job: Job) -> Option<Item> {
        let Some(lane) = self.lanes.get_mut(&job.lane) else { return Some(job.item) };
        lane.state = LaneState::Paused;
        lane.queue.push_front((job.place, job.item));
        self.queued += 1;
        self.high_water = self.high_water.max(self.queued);
        None
    }

    /// A back-off is over.
    pub fn resume(&mut self, id: SessionId) {
        if let Some(lane) = self.lanes.get_mut(&id)
            && lane.state == LaneState::Paused
        {
            lane.state = LaneState::Idle;
            self.open(id);
        }
    }

    /// Takes out everything that waits.
    pub fn clear(&mut self) -> Vec<Item> {
        self.queued = 0;
        self.ready.iter_mut().for_each(VecDeque::clear);
        let lanes = std::mem::take(&mut self.lanes);
        let mut items = Vec::new();
        for lane in lanes.into_values() {
            let mut runs = lane.state == LaneState::Busy;
            items.extend(lane.queue.into_iter().map(|(_, item)| match item {
                Item::After(after) if std::mem::take(&mut runs) => Item::Unsettled(after),
                item => item,
            }));
        }
        items
    }

    pub fn is_ready(&self, taker: Taker) -> bool {
        !self.ready[taker as usize].is_empty()
    }

    /// Lanes with something that waits or is not done.
    pub fn len(&self) -> usize {
        self.lanes.len()
    }

    /// Deliveries that wait, and the most that ever did.
    pub fn queued(&self) -> (usize, usize) {
        (self.queued, self.high_water)
    }
}
