//! Documents: PDF, drawn.

use std::sync::Arc;

use bytes::Bytes;
use hayro::hayro_interpret::InterpreterSettings;
use hayro::hayro_syntax::Pdf;
use hayro::vello_cpu::color::palette::css::{TRANSPARENT, WHITE};
use hayro::vello_cpu::peniko::ImageAlphaType;
use hayro::{PixmapSettings, RenderCache, RenderSettings, render};
use image::{DynamicImage, RgbaImage};

/// What a page is drawn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    Paper,
    Nothing,
}

/// The first page, its longer side of `side` pixels, and how many pages there are.
pub(crate) fn first_page(content: Bytes, side: u32, ground: Ground) -> Option<(DynamicImage, u32)> {
    let document = Pdf::new(Arc::new(content)).ok()?;
    let pages = document.pages();
    let page = pages.first()?;
    let (width, height) = page.render_dimensions();
    let scale = side as f32 / width.max(height);
    let settings = PixmapSettings {
        x_scale: scale,
        y_scale: scale,
        bg_color: if ground == Ground::Paper { WHITE } else { TRANSPARENT },
    };
    // A strip so thin that it has no pixels, or a page of no size at all.
    if !scale.is_finite() || width * scale < 1.0 || height * scale < 1.0 {
        return None;
    }
    let (interpreting, drawing) = (InterpreterSettings::default(), RenderSettings::default());
    let pixels = render(page, &RenderCache::new(), &interpreting, &drawing, &settings);
    let (width, height) = (u32::from(pixels.width()), u32::from(pixels.height()));
    let pixels = RgbaImage::from_raw(width, height, pixels.take_rgba8(ImageAlphaType::Alpha))?;
    Some((pixels.into(), u32::try_from(pages.len()).ok()?))
}
