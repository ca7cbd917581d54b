//! Across every page of a PDF.

use std::collections::{BTreeMap, BTreeSet};

use lopdf::{Dictionary, Document, Object, ObjectId, Stream, dictionary};

use super::layer::{self, Area};

/// How far up the tree of pages something is looked for.
const DEEPEST: usize = 64;
/// The page of someone who did not say how large it is: Letter.
const USUAL: Area = Area { left: 0.0, bottom: 0.0, width: 612.0, height: 792.0 };
/// Pages beyond what readers show, either way.
const SIDES: std::ops::RangeInclusive<f64> = 1.0..=200_000.0;

pub(super) fn stamp(content: &[u8], lines: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut document = Document::load_mem(content).ok()?;
    if document.is_encrypted() || document.was_encrypted() || document.trailer.has(b"Encrypt") {
        return None;
    }
    let pages: BTreeSet<ObjectId> = document.page_iter().collect();
    if pages.is_empty() {
        return None;
    }
    let mut layers = BTreeMap::new();
    for page in pages {
        let (area, turn) = (shown(&document, page), turn(&document, page));
        let key = (turn, [area.left, area.bottom, area.width, area.height].map(f64::to_bits));
        let layer = *layers.entry(key).or_insert_with(|| {
            let form = form(area, layer::resources(), layer::content(area, turn, lines));
            document.add_object(form)
        });
        cover(&mut document, page, layer)?;
    }
    let mut stamped = Vec::new();
    document.save_to(&mut stamped).ok()?;
    Some(stamped)
}

/// Puts `layer` over the page.
///
/// What was on it becomes a form of its own: whatever it does to the state of the pen, or calls its fonts, ends there.
fn cover(document: &mut Document, page: ObjectId, layer: ObjectId) -> Option<()> {
    let resources =
        inherited(document, page, b"Resources").cloned().unwrap_or_else(|| Dictionary::new().into());
    let bounds = rectangle(document, page, b"MediaBox").unwrap_or(USUAL);
    let mut below = drawn(document, page)?;
    form_keys(bounds, resources).into_iter().for_each(|(key, value)| below.dict.set(key, value));
    let below = document.add_object(below);
    let drawing = Stream::new(Dictionary::new(), b"q /Below Do Q q /Stamp Do Q".to_vec());
    let drawing = document.add_object(drawing);
    let page = document.get_dictionary_mut(page).ok()?;
    page.set("Contents", drawing);
    page.set("Resources", dictionary! { "XObject" => dictionary! { "Below" => below, "Stamp" => layer } });
    Some(())
}

/// What draws the page, in one piece.
fn drawn(document: &Document, page: ObjectId) -> Option<Stream> {
    let parts = document.get_page_contents(page);
    let streams = parts.iter().map(|id| document.get_object(*id).and_then(Object::as_stream));
    let streams: Vec<&Stream> = streams.collect::<Result<_, _>>().ok()?;
    if let [only] = streams[..] {
        return Some(only.clone());
    }
    let mut whole = Vec::new();
    for stream in streams {
        whole.extend(stream.get_plain_content().ok()?);
        whole.push(b'\n');
    }
    Some(Stream::new(Dictionary::new(), whole))
}

fn form(area: Area, resources: Dictionary, content: Vec<u8>) -> Stream {
    Stream::new(form_keys(area, resources.into()), content)
}

fn form_keys(area: Area, resources: Object) -> Dictionary {
    let Area { left, bottom, width, height } = area;
    let edges = [left, bottom, left + width, bottom + height];
    dictionary! {
        "Type" => "XObject",
        "Subtype" => "Form",
        "BBox" => edges.map(|edge| Object::Real(edge as f32)).to_vec(),
        "Resources" => resources,
    }
}

/// The part of the page that shows.
fn shown(document: &Document, page: ObjectId) -> Area {
    let of = |key| rectangle(document, page, key);
    of(b"CropBox").or_else(|| of(b"MediaBox")).unwrap_or(USUAL)
}

/// Quarters of a turn, in degrees.
fn turn(document: &Document, page: ObjectId) -> i64 {
    let degrees = inherited(document, page, b"Rotate").and_then(|turn| turn.as_i64().ok()).unwrap_or(0);
    degrees.rem_euclid(360) / 90 * 90
}

/// A rectangle of the page or of those above it, its corners in any order.
fn rectangle(document: &Document, page: ObjectId, key: &[u8]) -> Option<Area> {
    let corners = inherited(document, page, key)?.as_array().ok()?;
    let number = |corner| document.dereference(corner).ok()?.1.as_float().ok().map(f64::from);
    let corners: Vec<f64> = corners.iter().map(number).collect::<Option<_>>()?;
    let [x, y, other_x, other_y] = corners[..] else { return None };
    let (width, height) = ((other_x - x).abs(), (other_y - y).abs());
    let is_a_page = SIDES.contains(&width) && SIDES.contains(&height);
    is_a_page.then(|| Area { left: x.min(other_x), bottom: y.min(other_y), width, height })
}

/// What the page says under `key`, or those above it.
fn inherited<'a>(document: &'a Document, page: ObjectId, key: &[u8]) -> Option<&'a Object> {
    let mut node = document.get_dictionary(page).ok()?;
    for _ in 0..DEEPEST {
        if let Ok(found) = node.get(key) {
            return Some(document.dereference(found).ok()?.1);
        }
        node = document.get_dictionary(node.get(b"Parent").ok()?.as_reference().ok()?).ok()?;
    }
    None
}
