//! All jobs, and what they are compared with.

use crate::content::content;
use crate::count::Count;
use crate::job::{one_job, slow};
use crate::kinds::{KINDS, mmpk_of};
use crate::seeded::Seeded;
use offmap::packager::verify;
use offmap_sandbox::{Sandbox, SandboxOptions};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

/// Contents of the packages of jobs that were not disturbed, one for each kind.
fn undisturbed(sandbox: &Sandbox, dir: &Path, random: &mut Seeded) -> Result<Vec<BTreeMap<String, String>>, Box<dyn Error>> {
    let mut contents = Vec::new();
    for (number, kind) in KINDS.iter().enumerate() {
        let out = dir.join(format!("undisturbed-{}", kind.name));
        one_job(sandbox, number, &out, random, 0)?;
        contents.push(content(&out)?);
    }
    if contents.first() != contents.get(4) {
        return Err("an undisturbed package that was completed is not the one that was complete at once".into());
    }
    Ok(contents)
}

/// Checks a package against that of an undisturbed job, and removes it.
fn compare(out: &Path, expected: &BTreeMap<String, String>) -> Result<(), Box<dyn Error>> {
    if !verify(out)?.ok {
        return Err(format!("{} does not verify", out.display()).into());
    }
    let found = content(out)?;
    for (what, digest) in expected {
        if found.get(what) != Some(digest) {
            let found = found.get(what);
            return Err(format!("{what} differs from the package of an undisturbed job: {found:?}").into());
        }
    }
    std::fs::remove_dir_all(out)?;
    if mmpk_of(out).exists() {
        std::fs::remove_file(mmpk_of(out))?;
    }
    Ok(())
}

/// Runs jobs until so many kills were made; the result is the report.
pub(crate) fn torture(kills: u32, seed: u64) -> Result<Value, Box<dyn Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let sandbox = runtime.block_on(Sandbox::start(SandboxOptions { polls: 4, ..SandboxOptions::default() }))?;
    slow(&sandbox);
    let dir = tempfile::tempdir()?;
    let mut random = Seeded(seed);
    let expected = undisturbed(&sandbox, dir.path(), &mut random)?;
    let mut all = Count::default();
    let (mut jobs, mut replicas) = (0_usize, 0);
    let registered = || sandbox.replicas("Fieldwork") + sandbox.replicas("Reference");
    while all.kills < kills {
        let number = jobs % KINDS.len();
        let out = dir.path().join(format!("job-{jobs}"));
        let before = registered();
        all.add(one_job(&sandbox, number, &out, &mut random, (kills - all.kills).min(12))?);
        replicas += registered() - before;
        compare(&out, expected.get(number).ok_or("no such kind")?)?;
        jobs += 1;
    }
    let names = std::fs::read_dir(dir.path())?.filter_map(Result::ok).map(|e| e.file_name().to_string_lossy().into_owned());
    let left: Vec<String> = names.filter(|n| !n.starts_with("undisturbed-")).collect();
    let percent = all.fetched_twice as f64 * 100.0 / all.fetched.max(1) as f64;
    Ok(json!({"kills": all.kills, "killsInStep": all.kills_in, "jobs": jobs, "packagesEqualToUndisturbed": jobs,
        "bytes": all.fetched, "bytesFetchedTwice": all.fetched_twice, "percentFetchedTwice": percent,
        "finishedFilesFetchedAgain": all.finished_again, "filesThatWentOn": all.resumed_files, "services": all.services,
        "submissions": all.submissions, "replicasPerJob": replicas as f64 / jobs.max(1) as f64, "leftBeside": left,
        "seed": seed}))
}
