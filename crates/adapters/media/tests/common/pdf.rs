//! Documents, made object by object.

use bytes::Bytes;

/// A file of `objects`, numbered from 1, the first being the catalog.
pub(crate) fn pdf(objects: &[Vec<u8>], trailer: &str) -> Bytes {
    let mut file = b"%PDF-1.7\n".to_vec();
    let mut places = Vec::new();
    for (object, number) in objects.iter().zip(1..) {
        places.push(file.len());
        file.extend(format!("{number} 0 obj\n").bytes());
        file.extend(object);
        file.extend(b"\nendobj\n");
    }
    let table = file.len();
    let count = objects.len() + 1;
    file.extend(format!("xref\n0 {count}\n0000000000 65535 f \n").bytes());
    for place in places {
        file.extend(format!("{place:010} 00000 n \n").bytes());
    }
    file.extend(
        format!("trailer\n<< /Size {count} /Root 1 0 R {trailer} >>\nstartxref\n{table}\n%%EOF\n").bytes(),
    );
    file.into()
}

pub(crate) fn stream(content: &[u8], keys: &str) -> Vec<u8> {
    let head = format!("<< /Length {} {keys} >>\nstream\n", content.len());
    [head.as_bytes(), content, b"\nendstream"].concat()
}

/// Pages that each draw `content`; `page` and `all` are what they say besides, one by one and together.
pub(crate) fn document(pages: usize, content: &str, page: &str, all: &str) -> Bytes {
    let kids: Vec<String> = (0..pages).map(|number| format!("{} 0 R", number + 4)).collect();
    let mut objects = vec![
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        format!("<< /Type /Pages /Kids [{}] /Count {pages} {all} >>", kids.join(" ")).into_bytes(),
        stream(content.as_bytes(), ""),
    ];
    objects.extend(
        (0..pages).map(|_| format!("<< /Type /Page /Parent 2 0 R /Contents 3 0 R {page} >>").into_bytes()),
    );
    pdf(&objects, "")
}

/// The upper half red, the lower half blue.
pub(crate) const FLAG: &str = "1 0 0 rg 0 421 595 421 re f 0 0 1 rg 0 0 595 421 re f";
pub(crate) const A4: &str = "/MediaBox [0 0 595 842]";
