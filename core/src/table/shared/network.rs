//! File systems that reach over a network: the memory that their files are mapped to is not one memory, and their locks
//! are not freed with a process.

use std::path::Path;

use super::directory::failed;
use crate::error::{Error, Result};

/// What `statfs` says, and the name of it.
const REFUSED: [(u32, &str); 20] = [
    (0x0000_6969, "NFS"),
    (0x0000_517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0000_564c, "NCP"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "kAFS"),
    (0x7375_7245, "Coda"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x0102_1997, "9p"),
    (0x7461_636f, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x2003_0528, "PVFS2"),
    (0x1983_0326, "BeeGFS"),
    (0x0131_11a8, "IBRIX"),
    (0x6163_6673, "ACFS"),
    (0xaad7_aaea, "PanFS"),
    (0xbeef_dead, "SNFS"),
];
const FUSE: u32 = 0x6573_5546;
/// Parts of the names of what is in user space and reaches over a network.
const REMOTE: [&str; 24] = [
    "sshfs", "s3", "gluster", "gcs", "goofys", "rclone", "davfs", "ceph", "cvmfs", "juicefs", "moosefs", "mfs", "nfs",
    "smb", "curlftp", "blob", "seaweed", "weed", "lizard", "saunafs", "xroot", "eos", "oss", "hdfs",
];

/// Refuses a directory on such a file system.
pub(super) fn refuse(dir: &Path, device: u64) -> Result<()> {
    let found = rustix::fs::statfs(dir)
        .map_err(|error| failed(dir, "the file system can't be looked at", &std::io::Error::from(error)))?;
    // The type is 32 bits everywhere, in a field that is wider on some machines.
    #[allow(clippy::unnecessary_cast)]
    let magic = found.f_type as u32;
    match name(magic, device, || std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()) {
        None => Ok(()),
        Some(name) => Err(Error::invalid(format!(
            "the store {} is on a network file system ({name}), where processes of several machines would not see one \
             memory; use a directory on a local disk, or the redis store for several machines",
            dir.display()
        ))),
    }
}

/// What it is, if it is to be refused.
fn name(magic: u32, device: u64, mounts: impl FnOnce() -> String) -> Option<String> {
    if magic == FUSE {
        return remote_fuse(&mounts(), device);
    }
    REFUSED.iter().find(|(refused, _)| *refused == magic).map(|(_, name)| (*name).to_owned())
}

/// The type of a file system in user space that reaches over a network.
fn remote_fuse(mounts: &str, device: u64) -> Option<String> {
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    // "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some(&device))?;
    let kind = line.split_once(" - ")?.1.split(' ').next()?;
    let name = kind.split_once('.').map_or(kind, |(_, name)| name);
    REMOTE.iter().any(|remote| name.contains(remote)).then(|| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known() {
        let none = || unreachable!("only what is in user space is looked up");
        assert_eq!(name(0x6969, 1, none).as_deref(), Some("NFS"));
        assert_eq!(name(0xff53_4d42, 1, none).as_deref(), Some("CIFS"));
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1, 0xf2f5_2010] {
            assert_eq!(name(local, 1, none), None, "{local:x}");
        }
    }

    #[test]
    fn file_systems_in_user_space_are_told_apart() {
        let mounts = "36 35 0:50 / /mnt/a rw,nosuid shared:1 - fuse.sshfs me@there:/ rw,user_id=0\n\
                      37 35 0:51 / /mnt/b rw - fuse.gocryptfs /crypt rw\n\
                      38 35 8:1 / /mnt/c rw master:1 - fuseblk /dev/sda1 rw\n";
        let kind = |minor| name(FUSE, rustix::fs::makedev(0, minor), || mounts.to_owned());
        assert_eq!(kind(50).as_deref(), Some("fuse.sshfs"));
        assert_eq!((kind(51), kind(52)), (None, None));
        assert_eq!(remote_fuse(mounts, rustix::fs::makedev(8, 1)), None);
        assert_eq!(remote_fuse("", 1), None);
    }

    #[test]
    fn the_directory_for_temporary_files_may_be_used() {
        use std::os::unix::fs::MetadataExt;
        let dir = std::env::temp_dir();
        assert_eq!(refuse(&dir, std::fs::metadata(&dir).expect("it is there").dev()), Ok(()));
    }
}
