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
        let dir = tempfile::tempdir().expect("a directory");
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
