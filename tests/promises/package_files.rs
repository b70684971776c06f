//! Files of a package are what their names say.

use crate::support::{area, no_one_left, run_to_end, scripted_engine, scripted_task};
use offmap::packager::{MobileMapPackage, verify};
use offmap::testing::Script;
use offmap::{GenerateOfflineMapParameters, OfflineMapItemInfo, Thumbnail};

#[tokio::test]
async fn a_thumbnail_keeps_its_kind_and_is_called_by_it() {
    let pictures: [(&[u8], &str, &str); 4] = [
        (b"\x89PNG\r\n\x1a\nrest", "png", "image/png"),
        (b"\xff\xd8\xff\xe0rest", "jpg", "image/jpeg"),
        (b"GIF87arest", "gif", "image/gif"),
        (b"GIF89arest", "gif", "image/gif"),
    ];
    for (bytes, ending, media_type) in pictures {
        let engine = scripted_engine();
        let dir = offmap_sandbox::tempdir().expect("a directory");
        let mut parameters = GenerateOfflineMapParameters::new(area());
        let thumbnail = Thumbnail::new(bytes.to_vec()).expect("a picture");
        assert_eq!(thumbnail.media_type(), media_type);
        parameters.item_info = Some(OfflineMapItemInfo { thumbnail: Some(thumbnail), ..OfflineMapItemInfo::default() });
        let task = scripted_task(&engine, &[("a", Script::default())]);
        let job = task.generate_offline_map(parameters, Default::default(), dir.path().join("package"));
        let package = run_to_end(&job).await.0.expect("a package").package;
        let folder = package.join("esriinfo/thumbnail");
        let names: Vec<_> = std::fs::read_dir(&folder).expect("lists").map(|e| e.expect("entry").file_name()).collect();
        let name = format!("thumbnail.{ending}");
        assert_eq!(names, [name.as_str()]);
        assert_eq!(std::fs::read(folder.join(&name)).expect("reads"), bytes);
        let info = std::fs::read_to_string(package.join("esriinfo/iteminfo.xml")).expect("reads");
        assert!(info.contains(&format!("<thumbnail>thumbnail/{name}</thumbnail>")), "{info}");
        let opened = MobileMapPackage::open(&package).expect("opens");
        assert_eq!(opened.item().thumbnail.as_ref().map(|t| (t.media_type(), t.bytes())), Some((media_type, bytes)));
        assert!(verify(&package).expect("verifies").ok);
        no_one_left(&engine).await;
    }
    assert!(Thumbnail::new(b"<svg/>".to_vec()).expect_err("refused").message.contains("nor a GIF"));
}

/// Where files are made or renamed, and why that is right: elsewhere a file that is trusted is written by `offmap_disk::atomic_file`.
const WRITERS: [(&str, &str); 8] = [
    ("disk/src/atomic_file.rs", "the helper"),
    ("disk/src/safe_path/link.rs", "a copy where there are no links, into a directory that is not trusted yet"),
    ("engine/src/work_dir.rs", "a package that goes back to its place"),
    ("exporters/src/feature_query/id_file.rs", "a list that grows piece by piece, and gets its name by the helper"),
    ("exporters/src/vector_style/fetcher.rs", "into a folder that gets its name when it is complete"),
    ("packager/src/archive.rs", "an archive in its work directory, which must not replace a file"),
    ("packager/src/destination.rs", "the staged package, which is put in place when it is verified"),
    ("packager/src/stage.rs", "documents of the staged package, which are not trusted yet"),
];

#[test]
fn files_that_a_later_step_trusts_are_written_in_one_way() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for sources in ["model", "disk", "formats", "arcgis", "engine", "exporters", "packager", "cli", ""] {
        for path in crate::support::files_below(&root.join(sources).join("src")) {
            let name = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
            // For tests, and a file that the caller wants for itself.
            let is_for_tests =
                name.starts_with("engine/src/testing") || name.ends_with("/tests.rs") || name.ends_with("_tests.rs");
            if is_for_tests || name == "packager/src/mobile_map_package.rs" {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("reads");
            let code = text.split("#[cfg(test)]").next().and_then(|t| t.split("#[cfg(all(test").next()).unwrap_or_default();
            let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            let writes = ["fs::write(", "File::create(", "File::create_new(", "fs::rename(", "fs::copy("];
            if code.iter().any(|line| writes.iter().any(|w| line.contains(w))) {
                found.push(name);
            }
        }
    }
    found.sort();
    assert_eq!(found, WRITERS.map(|(name, _)| name), "use `atomic_file`, or say here why nothing trusts the file yet");
}
