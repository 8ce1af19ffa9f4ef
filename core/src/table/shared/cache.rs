//! What this process read of sessions' data.

use crate::data::Tree;
use crate::sync::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
/// By slot: generation, version, tree.
type Known = HashMap<u32, (u64, u64, Arc<Tree>)>;

pub(super) struct Cache(Mutex<Known>);
impl Cache {
    pub fn new(_bytes: usize) -> Self {
        Self(Mutex::default())
    }
    pub fn get(&self, index: u32, generation: u64, version: u64) -> Option<Arc<Tree>> {
        let map = self.0.lock();
        map.get(&index).filter(|(g, v, _)| (*g, *v) == (generation, version)).map(|(_, _, tree)| tree.clone())
    }
    pub fn put(&self, index: u32, generation: u64, version: u64, tree: Arc<Tree>) {
        self.0.lock().insert(index, (generation, version, tree));
    }
    pub fn forget(&self, index: u32) {
        self.0.lock().remove(&index);
    }
}
