//! What professionals draw over a file. The file itself stays as it came: layers lie beside it, and each version of a
//! layer stays readable.

use std::fmt;
use std::str::FromStr;

use alivio_kernel::ids::{AnnotationId, FileId, UserId};
use alivio_kernel::sealing::{Scope, SealContext};
use alivio_kernel::text::{self, Lines};
use alivio_kernel::{FieldError, Rule};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Class, Header};

/// A point is told in so many parts of the width and of the height of the page as it is shown, whatever its pixels.
pub const SCALE: i64 = 100_000;
/// The most layers over one file, those that were taken away among them.
pub const MAX_LAYERS: i64 = 50;
/// The most versions of one layer.
pub const MAX_VERSIONS: u32 = 200;
/// The most shapes in a drawing.
pub const MAX_SHAPES: usize = 200;
/// The most points of all its shapes together.
pub const MAX_POINTS: usize = 2000;
/// The longest title.
pub const MAX_TITLE: usize = 100;
/// The longest label of a shape.
pub const MAX_LABEL: usize = 200;
const MAX_WIDTH: i64 = 50;
const WIDTH: i64 = 3;
const COLOR: &str = "#ffcc00";

/// What a shape is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShapeKind {
    /// From the first point to the second, where its head is.
    Arrow,
    /// From one point to another.
    Line,
    /// Between two opposite corners.
    Rectangle,
    /// Within two opposite corners.
    Ellipse,
    /// Along all points: what is drawn by hand.
    Path,
    /// Along all points and back.
    Polygon,
    /// Words at a point.
    Text,
}

impl ShapeKind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Arrow, Self::Line, Self::Rectangle, Self::Ellipse, Self::Path, Self::Polygon, Self::Text];

    /// The name used in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Arrow => "arrow",
            Self::Line => "line",
            Self::Rectangle => "rectangle",
            Self::Ellipse => "ellipse",
            Self::Path => "path",
            Self::Polygon => "polygon",
            Self::Text => "text",
        }
    }

    /// How many points it has: at least and at most.
    const fn points(self) -> (usize, usize) {
        match self {
            Self::Text => (1, 1),
            Self::Arrow | Self::Line | Self::Rectangle | Self::Ellipse => (2, 2),
            Self::Path => (2, MAX_POINTS),
            Self::Polygon => (3, MAX_POINTS),
        }
    }
}

impl FromStr for ShapeKind {
    type Err = FieldError;
    fn from_str(s: &str) -> Result<Self, FieldError> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == s).ok_or(FieldError::new("kind", Rule::Unknown))
    }
}

/// A shape as it came.
#[derive(Clone, Default)]
pub struct SaidShape {
    /// What it is.
    pub kind: String,
    /// Its points, each from the left and from above.
    pub points: Vec<[i64; 2]>,
    /// Words beside it.
    pub label: Option<String>,
    /// `#rrggbb`.
    pub color: Option<String>,
    /// Of its line, in thousandths of the width of the page.
    pub width: Option<i64>,
}

/// A shape.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// What it is.
    pub kind: ShapeKind,
    /// Its points, each from the left and from above, in parts of [`SCALE`].
    pub points: Vec<[i64; 2]>,
    /// Words beside it; those of a text.
    pub label: Option<String>,
    /// `#rrggbb`.
    pub color: String,
    /// Of its line, in thousandths of the width of the page.
    pub width: i64,
}

impl Shape {
    fn parse(said: SaidShape) -> Result<Self, FieldError> {
        let kind: ShapeKind = said.kind.parse()?;
        let within = |value: i64, min: i64, max: i64| {
            if (min..=max).contains(&value) { Ok(value) } else { Err(Rule::OutOfRange { min, max }) }
        };
        let of = |field| move |rule| FieldError::new(field, rule);
        let (min, max) = kind.points();
        if said.points.len() < min {
            return Err(FieldError::new("points", Rule::TooFew { min }));
        }
        if said.points.len() > max {
            return Err(FieldError::new("points", Rule::TooMany { max }));
        }
        for place in said.points.iter().flatten() {
            within(*place, 0, SCALE).map_err(of("points"))?;
        }
        let label =
            said.label.map(|words| text::parse("label", &words, MAX_LABEL, Lines::Many)).transpose()?;
        if kind == ShapeKind::Text && label.is_none() {
            return Err(FieldError::new("label", Rule::Missing));
        }
        Ok(Self {
            kind,
            points: said.points,
            label,
            color: color(said.color)?,
            width: within(said.width.unwrap_or(WIDTH), 1, MAX_WIDTH).map_err(of("width"))?,
        })
    }
}

fn color(said: Option<String>) -> Result<String, FieldError> {
    let Some(color) = said else { return Ok(COLOR.to_owned()) };
    let digits = color.strip_prefix('#').filter(|digits| digits.len() == 6);
    match digits {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(color.to_ascii_lowercase()),
        _ => Err(FieldError::new("color", Rule::Malformed)),
    }
}

/// What is drawn over one page of a file: the content of a version of a layer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawing {
    /// What the layer is called.
    pub title: Option<String>,
    /// On which page, from 1.
    pub page: u32,
    /// What is drawn, the lowest first.
    pub shapes: Vec<Shape>,
}

// Its words stay out of it.
impl fmt::Debug for Drawing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Drawing({} shapes)", self.shapes.len())
    }
}

impl Drawing {
    /// Checks the form of a drawing.
    ///
    /// # Errors
    /// Names the field and the rule.
    pub fn parse(title: Option<&str>, page: i64, shapes: Vec<SaidShape>) -> Result<Self, FieldError> {
        let pages = Rule::OutOfRange { min: 1, max: u32::MAX.into() };
        let page = u32::try_from(page).ok().filter(|page| *page > 0);
        let page = page.ok_or(FieldError::new("page", pages))?;
        if shapes.is_empty() {
            return Err(FieldError::new("shapes", Rule::TooFew { min: 1 }));
        }
        if shapes.len() > MAX_SHAPES {
            return Err(FieldError::new("shapes", Rule::TooMany { max: MAX_SHAPES }));
        }
        if shapes.iter().map(|shape| shape.points.len()).sum::<usize>() > MAX_POINTS {
            return Err(FieldError::new("points", Rule::TooMany { max: MAX_POINTS }));
        }
        let title = title.map(|words| text::parse("title", words, MAX_TITLE, Lines::Single)).transpose()?;
        Ok(Self { title, page, shapes: shapes.into_iter().map(Shape::parse).collect::<Result<_, _>>()? })
    }
}

impl Header {
    /// How many pages can be drawn on: none of what nobody sees as pages.
    pub fn drawable_pages(&self) -> u32 {
        match self.format.class() {
            Class::Image => 1,
            Class::Document => self.made.pages.unwrap_or(0),
            Class::Audio | Class::Video => 0,
        }
    }
}

/// A version of a layer over a file: who drew what and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Which layer.
    pub id: AnnotationId,
    /// Over which file.
    pub file_id: FileId,
    /// Which version, from 1.
    pub version: u32,
    /// The newest version that there is.
    pub newest: u32,
    /// Who drew it.
    pub author_id: UserId,
    /// When.
    pub drawn_at: DateTime<Utc>,
    /// When the layer was taken away.
    pub removed_at: Option<DateTime<Utc>>,
    /// What.
    pub drawing: Drawing,
}

/// Who drew a version of a layer, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerVersion {
    /// Which version, from 1.
    pub version: u32,
    /// Who.
    pub author_id: UserId,
    /// When.
    pub drawn_at: DateTime<Utc>,
}

/// The place where the drawing of a version is sealed: with the key of the file.
pub(crate) const fn drawing_context(file: FileId, layer: AnnotationId, version: u32) -> SealContext {
    SealContext {
        table: "file_annotation_versions",
        column: "drawing",
        row: layer.uuid(),
        scope: Scope::File(file),
        version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::header;
    use crate::{Format, Made};

    fn arrow() -> SaidShape {
        SaidShape { kind: "arrow".to_owned(), points: vec![[0, 0], [SCALE, SCALE]], ..SaidShape::default() }
    }

    #[test]
    fn a_drawing_is_kept_as_it_was_made() {
        let color = Some("#00FF7f".to_owned());
        let said = SaidShape { label: Some(" fractura ".to_owned()), color, width: Some(5), ..arrow() };
        let drawing = Drawing::parse(Some("Cadera"), 1, vec![said, arrow()]).unwrap();
        let first = &drawing.shapes[0];
        assert_eq!(
            (first.label.as_deref(), first.color.as_str(), first.width),
            (Some("fractura"), "#00ff7f", 5)
        );
        assert_eq!((drawing.shapes[1].color.as_str(), drawing.shapes[1].width), (COLOR, WIDTH));
        let stored = serde_json::to_vec(&drawing).unwrap();
        assert_eq!(serde_json::from_slice::<Drawing>(&stored).unwrap(), drawing);
        assert!(!format!("{drawing:?}").contains("fractura"));
    }

    #[test]
    fn a_broken_shape_is_named() {
        let text = || SaidShape { kind: "text".to_owned(), points: vec![[1, 1]], ..SaidShape::default() };
        let path = |count| SaidShape {
            kind: "path".to_owned(),
            points: vec![[1, 1]; count],
            ..SaidShape::default()
        };
        for (shape, field) in [
            (SaidShape { kind: "spiral".to_owned(), ..arrow() }, "kind"),
            (SaidShape { points: vec![[1, 1]], ..arrow() }, "points"),
            (SaidShape { points: vec![[1, 1]; 3], ..arrow() }, "points"),
            (SaidShape { points: vec![[0, -1], [1, 1]], ..arrow() }, "points"),
            (SaidShape { points: vec![[0, 0], [SCALE + 1, 1]], ..arrow() }, "points"),
            (path(MAX_POINTS + 1), "points"),
            (text(), "label"),
            (SaidShape { label: Some("a\0".to_owned()), ..text() }, "label"),
            (SaidShape { label: Some("a".repeat(MAX_LABEL + 1)), ..text() }, "label"),
            (SaidShape { color: Some("red".to_owned()), ..arrow() }, "color"),
            (SaidShape { color: Some("#ff00f\u{fc}".to_owned()), ..arrow() }, "color"),
            (SaidShape { width: Some(0), ..arrow() }, "width"),
            (SaidShape { width: Some(MAX_WIDTH + 1), ..arrow() }, "width"),
        ] {
            assert_eq!(Drawing::parse(None, 1, vec![shape]).unwrap_err().field, field);
        }
        let field = |title, page, shapes| Drawing::parse(title, page, shapes).unwrap_err().field;
        assert_eq!(field(Some("a\nb"), 1, vec![arrow()]), "title");
        assert_eq!((field(None, 0, vec![arrow()]), field(None, -1, vec![arrow()])), ("page", "page"));
        assert_eq!(
            (field(None, 1, Vec::new()), field(None, 1, vec![arrow(); MAX_SHAPES + 1])),
            ("shapes", "shapes")
        );
        assert_eq!(field(None, 1, vec![path(MAX_POINTS), arrow()]), "points");
    }

    #[test]
    fn what_shows_no_pages_is_not_drawn_on() {
        let at = DateTime::UNIX_EPOCH;
        let of = |format, pages| Header { format, made: Made { pages, ..Made::default() }, ..header(at) };
        assert_eq!(of(Format::Pdf, Some(3)).drawable_pages(), 3);
        assert_eq!(of(Format::Pdf, None).drawable_pages(), 0);
        assert_eq!(of(Format::Png, None).drawable_pages(), 1, "too large to be looked at");
        assert_eq!(of(Format::Mp3, None).drawable_pages(), 0);
    }
}
