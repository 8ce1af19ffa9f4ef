//! LMDB without syncs: the fastest embedded engine that several processes can share.

use std::path::Path;

use heed::types::{Bytes, U64};
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions};

type Table = Database<'static, U64<heed::byteorder::NativeEndian>, Bytes>;

pub struct Lmdb {
    env: Env,
    table: Table,
}

impl Lmdb {
    pub fn new(dir: &Path, ids: &[i64]) -> Self {
        let mut options = EnvOpenOptions::new();
        options.map_size(4 << 30);
        // SAFETY: the directory is this benchmark's own, and what a crash loses is nobody's.
        let env = unsafe {
            options.flags(EnvFlags::NO_SYNC);
            options.open(dir).expect("LMDB opens")
        };
        let begun = env.write_txn().expect("a transaction");
        let table: Table = env
            .create_databases_and_commit(begun, |dbo, txn| {
                dbo.create_database(txn, None).map(CommitOrAbort::<_, ()>::Commit)
            })
            .expect("the table is made")
            .unwrap_commit();
        let mut txn = env.write_txn().expect("a transaction");
        for id in ids {
            table.put(&mut txn, &id.cast_unsigned(), &[7; 96]).expect("put");
        }
        txn.commit().expect("a commit");
        Self { env, table }
    }

    /// One transaction: reads the header, writes it with the new deadline.
    pub fn touch(&self, id: i64, now: i64) -> bool {
        let mut txn = self.env.write_txn().expect("a transaction");
        let Some(found) = self.table.get(&txn, &id.cast_unsigned()).expect("a look") else { return false };
        let mut header: [u8; 96] = found.try_into().expect("96 bytes");
        header[8..16].copy_from_slice(&now.to_le_bytes());
        self.table.put(&mut txn, &id.cast_unsigned(), &header).expect("put");
        txn.commit().expect("a commit");
        true
    }
}
