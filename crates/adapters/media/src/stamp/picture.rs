//! Across a picture.

use bytes::Bytes;
use image::{DynamicImage, ImageFormat, Pixel, Rgba, RgbaImage};
use lopdf::{Document, Object, Stream, dictionary};

use super::layer::{self, Area};
use crate::document::Ground;
use crate::{document, picture};

/// The longest side of what is laid over, in pixels; stretched over what is larger.
const LAYER: u32 = 2400;

pub(super) fn stamp(format: ImageFormat, content: &[u8], lines: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut picture = picture::open(format, content)?;
    // The copy says nothing of how to hold it: it stands.
    picture.pixels.apply_orientation(picture.orientation);
    let layer = draw(picture.pixels.width(), picture.pixels.height(), lines)?;
    let stamped = lay(picture.pixels, &layer);
    picture::write(&stamped, format, picture.profile.as_deref())
}

/// The lines alone, on nothing: a document of one page, drawn like any other.
fn draw(width: u32, height: u32, lines: &[Vec<u8>]) -> Option<RgbaImage> {
    let scale = f64::from(LAYER) / f64::from(width.max(height));
    let side = |length: u32| (f64::from(length) * scale.min(1.0)).round().max(1.0);
    let area = Area { left: 0.0, bottom: 0.0, width: side(width), height: side(height) };
    let page = page(area, layer::content(area, 0, lines))?;
    let (pixels, _) = document::first_page(Bytes::from(page), LAYER, Ground::Nothing)?;
    Some(pixels.into_rgba8())
}

fn page(area: Area, content: Vec<u8>) -> Option<Vec<u8>> {
    let mut document = Document::with_version("1.7");
    let content = document.add_object(Stream::new(dictionary! {}, content));
    let pages = document.new_object_id();
    let page = document.add_object(dictionary! {
        "Type" => "Page",
        "Parent" => pages,
        "MediaBox" => [0.0, 0.0, area.width, area.height].map(|edge| Object::Real(edge as f32)).to_vec(),
        "Resources" => layer::resources(),
        "Contents" => content,
    });
    document.set_object(pages, dictionary! { "Type" => "Pages", "Kids" => vec![page.into()], "Count" => 1 });
    let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => pages });
    document.trailer.set("Root", catalog);
    let mut bytes = Vec::new();
    document.save_to(&mut bytes).ok()?;
    Some(bytes)
}

/// `layer`, stretched, over `pixels`.
fn lay(pixels: DynamicImage, layer: &RgbaImage) -> DynamicImage {
    if pixels.color().has_alpha() {
        let mut pixels = pixels.into_rgba8();
        let at = places(pixels.dimensions(), layer);
        pixels.enumerate_pixels_mut().for_each(|(x, y, pixel)| pixel.blend(&at(x, y)));
        return pixels.into();
    }
    let mut pixels = pixels.into_rgb8();
    let at = places(pixels.dimensions(), layer);
    pixels.enumerate_pixels_mut().for_each(|(x, y, pixel)| {
        let mut mixed = pixel.to_rgba();
        mixed.blend(&at(x, y));
        *pixel = mixed.to_rgb();
    });
    pixels.into()
}

/// What of the layer is over a place in a picture of `size`.
fn places((width, height): (u32, u32), layer: &RgbaImage) -> impl Fn(u32, u32) -> Rgba<u8> {
    let (across, up) = layer.dimensions();
    let scaled = |at: u32, from: u32, to: u32| (u64::from(at) * u64::from(to) / u64::from(from)) as u32;
    move |x, y| *layer.get_pixel(scaled(x, width, across), scaled(y, height, up))
}
