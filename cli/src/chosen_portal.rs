//! Which portal is meant: by `--portal`, by the url of an item, by `OFFMAP_PORTAL`, by the settings file, else ArcGIS Online.

use crate::access_arguments::AccessArguments;
use crate::inputs::is_url;
use crate::settings::Settings;
use crate::stop::Stop;
use offmap::arcgis::{parse_http, portal::portal_root};

/// The portal that is meant where none is named.
pub(crate) const ARCGIS_ONLINE: &str = "https://www.arcgis.com";
/// The environment variable that names the portal.
const VARIABLE: &str = "OFFMAP_PORTAL";

/// Portal and id of an item that is named by a url.
#[derive(Debug, PartialEq)]
struct ItemPage {
    portal: String,
    id: String,
}

/// Reads the url of an item's page, of a viewer, or of the item itself.
fn item_page(text: &str) -> Result<ItemPage, Stop> {
    let url = parse_http(text)?;
    let path = url.path().to_ascii_lowercase();
    let of_query = || {
        let id = url.query_pairs().find(|(name, _)| name == "webmap" || name == "id");
        id.map(|(_, id)| id.into_owned())
    };
    let found = match path.find("/sharing/rest/content/items/") {
        Some(at) => path.get(at..).and_then(|rest| rest.split('/').nth(5)).map(|id| (at, id.to_owned())),
        None => path.find("/home/").or_else(|| path.find("/apps/")).zip(of_query()),
    };
    let mut root = url.clone();
    match found.filter(|(_, id)| !id.is_empty()) {
        Some((at, id)) => {
            root.set_path(url.path().get(..at).unwrap_or_default());
            Ok(ItemPage { portal: portal_root(root.as_str())?, id })
        }
        None => {
            root.set_query(None);
            root.set_fragment(None);
            Err(Stop::usage(format!(
                "--item {root} is neither an id nor the url of an item: expected …/home/item.html?id=… or …/apps/mapviewer/index.html?webmap=…; \
                 the url of a map's JSON is given by --web-map"
            )))
        }
    }
}

/// Whether two urls are of one portal; all of ArcGIS Online is one.
fn is_same(a: &str, b: &str) -> Result<bool, Stop> {
    let is_online = |portal: &str| {
        let host = parse_http(portal).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        host == "www.arcgis.com" || host == "arcgis.com" || host.ends_with(".maps.arcgis.com")
    };
    let (a, b) = (portal_root(a)?, portal_root(b)?);
    Ok(a.eq_ignore_ascii_case(&b) || (is_online(&a) && is_online(&b)))
}

/// The portal that the environment or the settings file names, and which of them does.
fn named(settings: &Settings) -> Option<(String, &'static str)> {
    let variable = std::env::var(VARIABLE).ok().filter(|portal| !portal.is_empty());
    let by_variable = variable.map(|portal| (portal, VARIABLE));
    by_variable.or_else(|| settings.portal().map(|portal| (portal.to_owned(), "the settings file")))
}

/// The portal of a sign-in, where one is named.
pub(crate) fn choose_for_login(portal: &mut Option<String>, settings: &Settings) {
    *portal = portal.take().or_else(|| named(settings).map(|(portal, _)| portal));
}

/// Decides on the portal, and leaves the item's id in place of its url. `with_item` is whether the map is an item of the portal or
/// may be read from it; `from_file` is whether the credentials are those of the settings file.
pub(crate) fn choose(
    access: &mut AccessArguments,
    item: Option<&mut String>,
    is_elsewhere: bool,
    settings: &Settings,
    from_file: bool,
) -> Result<(), Stop> {
    let named = named(settings);
    let has_item = item.is_some();
    if let Some(item) = item
        && is_url(item)
    {
        let page = item_page(item)?;
        *item = page.id;
        return of_page(access, page.portal, named, from_file);
    }
    let needs_one = has_item || (!is_elsewhere && (access.user.is_some() || access.client_id.is_some()));
    access.portal = access.portal.take().or(named.map(|(portal, _)| portal));
    if access.portal.is_none() && needs_one {
        access.portal = Some(ARCGIS_ONLINE.to_owned());
    }
    if access.portal.is_none() && (access.user.is_some() || access.client_id.is_some()) {
        return Err(Stop::usage("a user or an application signs in to a portal, and none is named: give --portal"));
    }
    Ok(())
}

/// Decides between the portal of an item's url and those that are named elsewhere. Credentials for one portal are never sent to
/// another because a url that was pasted names it.
fn of_page(access: &mut AccessArguments, page: String, named: Option<(String, &str)>, from_file: bool) -> Result<(), Stop> {
    if let Some(portal) = &access.portal {
        return match is_same(portal, &page)? {
            true => Ok(()),
            false => Err(Stop::usage(format!(
                "--portal names {}, and the url of --item is of the portal {page}; leave --portal out, or give the item's id only",
                portal_root(portal)?
            ))),
        };
    }
    let meant = match named {
        None if from_file => Some((ARCGIS_ONLINE.to_owned(), "the settings file, which names none")),
        named => named,
    };
    if let Some((portal, by)) = meant
        && access.signs_in()
        && !is_same(&portal, &page)?
    {
        return Err(Stop::usage(format!(
            "the url of --item is of the portal {page}, and the credentials are for {}, by {by}; to sign in to the item's portal, give --portal {page}",
            portal_root(&portal)?
        )));
    }
    access.portal = Some(page);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_items_and_viewers_name_portal_and_id() {
        for (url, portal) in [
            ("https://www.arcgis.com/home/item.html?id=abc123", "https://www.arcgis.com"),
            ("https://city.maps.arcgis.com/apps/mapviewer/index.html?webmap=abc123", "https://city.maps.arcgis.com"),
            ("https://gis.example/portal/apps/mapviewer/index.html?layers=x&webmap=abc123", "https://gis.example/portal"),
            ("https://gis.example:7443/portal/home/webmap/viewer.html?webmap=abc123", "https://gis.example:7443/portal"),
            ("https://gis.example/portal/home/item.html?id=abc123#overview", "https://gis.example/portal"),
            ("https://gis.example/portal/sharing/rest/content/items/abc123/data?f=json", "https://gis.example/portal"),
        ] {
            let page = item_page(url).expect("a page");
            assert_eq!(page, ItemPage { portal: portal.to_owned(), id: "abc123".to_owned() }, "{url}");
        }
        for url in ["https://gis.example/portal/home/item.html", "https://gis.example/map.json?token=hunter2"] {
            let message = item_page(url).expect_err("refused").message;
            assert!(message.contains("neither an id nor the url") && !message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn all_of_arcgis_online_is_one_portal() {
        let is = |a, b| is_same(a, b).expect("urls");
        assert!(is("https://www.arcgis.com", "https://city.maps.arcgis.com/"));
        assert!(is("https://GIS.example/portal/sharing/rest", "https://gis.example/portal"));
        assert!(!is("https://gis.example/other", "https://gis.example/portal"));
        assert!(!is("https://evil.example/www.arcgis.com", "https://www.arcgis.com"));
        assert!(!is("https://evilmaps.arcgis.com.example", "https://www.arcgis.com"));
    }
}
