//! What the portal and the services answer, by path.

mod access;
mod dynamic;
mod feature;
mod output;
mod portal;
mod raster;
mod route;
mod services;
mod sign_in;
mod style_resource;
mod tile_export;
mod tile_path;
mod tokens;
mod vector;
mod wms;

pub(crate) use route::route;
