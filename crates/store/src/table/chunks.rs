//! A value that may be too large for one item, as the attributes of several.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::attributes::{COMPRESSED, DATA};
use super::fault::StoreError;
use super::item::{Item, Packed, data};

/// The most bytes of a chunk. An item has at most 400 KB, with its key.
const CHUNK_BYTES_MAX: usize = 350_000;

/// A value as the attributes of its chunks, in their order.
pub(crate) fn chunks_of(
    value: &impl Serialize,
) -> Result<Vec<(&'static str, AttributeValue)>, StoreError> {
    Ok(match Packed::new(value)? {
        Packed::Text(json) => vec![(DATA, AttributeValue::S(json))],
        Packed::Compressed(bytes) => bytes
            .chunks(CHUNK_BYTES_MAX)
            .map(|piece| (COMPRESSED, AttributeValue::B(Blob::new(piece))))
            .collect(),
    })
}

/// The value that some chunks hold together; `None` if there are no chunks.
pub(crate) fn joined<T: DeserializeOwned>(chunks: &[Item]) -> Result<Option<T>, StoreError> {
    let Some(mut whole) = chunks.first().cloned() else {
        return Ok(None);
    };
    let bytes: Vec<u8> = chunks
        .iter()
        .filter_map(|chunk| chunk.get(COMPRESSED)?.as_b().ok())
        .flat_map(|piece| piece.as_ref())
        .copied()
        .collect();
    if !bytes.is_empty() {
        whole.insert(COMPRESSED.to_owned(), AttributeValue::B(Blob::new(bytes)));
    }
    data(&whole).map(Some)
}
