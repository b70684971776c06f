//! One job, which is killed again and again.

use crate::count::{Count, Watch};
use crate::kept::Kept;
use crate::kinds::{KINDS, Kind, mmpk_of};
use crate::running::Running;
use crate::seeded::Seeded;
use offmap::packager::{MobileMapPackage, verify};
use offmap_sandbox::{Fault, FaultAction, JobFault, Sandbox};
use std::error::Error;
use std::path::Path;
use std::time::Duration;

/// One job from its first child to its package.
pub(crate) fn one_job(
    sandbox: &Sandbox,
    number: usize,
    out: &Path,
    random: &mut Seeded,
    kills: u32,
) -> Result<Count, Box<dyn Error>> {
    let kind = KINDS.get(number).ok_or("no such kind")?;
    let mut count = Count { services: kind.services, ..Count::default() };
    if kind.completes {
        let failed = FaultAction::Job(JobFault::Failed("no licence".to_owned()));
        sandbox.fault_first(Fault::always("reference/featureserver/createreplica", failed));
        Running::spawn(sandbox, number, out, true)?.end()?;
        slow(sandbox);
    }
    let mut watch = Watch::new(sandbox);
    while count.kills < kills {
        let running = Running::spawn(sandbox, number, out, false)?;
        let aim = kind.aim.filter(|_| random.below(2) == 0 || out.exists());
        let last = aim.map(|(step, _)| running.wait_for(step)).unwrap_or_default();
        let pause = random.below(aim.map_or(kind.within, |(_, micros)| micros));
        std::thread::sleep(Duration::from_micros(pause));
        let Some(step) = running.kill(last)? else {
            watch.count(&mut count);
            return finish(kind, out, count);
        };
        count.kills += 1;
        *count.kills_in.entry(step).or_default() += 1;
        watch.count(&mut count);
        watch.before = Kept::of(out);
    }
    Running::spawn(sandbox, number, out, false)?.end()?;
    watch.count(&mut count);
    finish(kind, out, count)
}

/// Checks what a finished job left.
fn finish(kind: &Kind, out: &Path, mut count: Count) -> Result<Count, Box<dyn Error>> {
    let package = MobileMapPackage::open(out)?;
    let manifest = package.manifest().ok_or("no manifest")??;
    count.fetched = manifest.files.iter().filter(|f| f.path.starts_with("p13/")).map(|f| f.bytes).sum();
    if kind.zips {
        let mmpk = mmpk_of(out);
        let zipped = MobileMapPackage::open(&mmpk)?;
        if !verify(&mmpk)?.ok || zipped.manifest().ok_or("no manifest")?? != manifest {
            return Err(format!("{} is not the package {}", mmpk.display(), out.display()).into());
        }
    }
    Ok(count)
}

/// Transfers of files are slow, so that kills interrupt them; there is no other fault.
pub(crate) fn slow(sandbox: &Sandbox) {
    sandbox.heal();
    for path in [".geodatabase", ".tpkx", ".vtpk", "/presigned/"] {
        sandbox.fault(Fault::always(path, FaultAction::Drip(24 << 10, Duration::from_millis(8))));
    }
}
