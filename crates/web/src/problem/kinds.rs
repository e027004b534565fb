//! The kinds of problems, each once: its name, its status, its title, and what a caller does about it.

use http::StatusCode;

/// A kind of problem. Its `type` is a URI under [`TYPES`].
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// The name of the kind, as the interface spells it.
    pub name: &'static str,
    /// The HTTP status of an answer of this kind.
    pub status: StatusCode,
    /// What it is, in a few words that are the same in every answer of this kind.
    pub title: &'static str,
    /// What a caller does about it.
    pub advice: &'static str,
}

/// What the `type` of every problem begins with: the page that explains it.
pub const TYPES: &str = "/docs#problem-";

macro_rules! kinds {
    ($($constant:ident $name:literal $status:ident $title:literal $advice:literal;)*) => {
        $(pub(super) static $constant: Kind = Kind {
            name: $name,
            status: StatusCode::$status,
            title: $title,
            advice: $advice,
        };)*

        /// All kinds, by status.
        pub static KINDS: &[&Kind] = &[$(&$constant),*];
    };
}

kinds! {
    UNREADABLE "unreadable" BAD_REQUEST "This cannot be read"
        "A body, or a cursor, is not what it has to be. Correct the body; begin the list again without the cursor.";
    UNAUTHORIZED "unauthorized" UNAUTHORIZED "A good key is needed"
        "Send `Authorization: Bearer <key>` with a key that was not revoked.";
    FORBIDDEN "forbidden" FORBIDDEN "Not this marketplace"
        "The key is good for other marketplaces only, or there is none of this id. Take a key of this marketplace.";
    ROLE_FORBIDDEN "role_forbidden" FORBIDDEN "Not with this role"
        "The key's role may not call this route. Take a key of a role that may.";
    BAD_SIGNATURE "bad_signature" FORBIDDEN "Not signed by the provider"
        "The post has no good signature of the provider. Save the key that the provider signs with in the settings, and post again.";
    BAD_UPLOAD "bad_upload" FORBIDDEN "Not an address for a file any more"
        "The address was given for another file, or its time is over. Ask for a new one: `POST M/uploads`.";
    OTHER_SITE "other_site" FORBIDDEN "Sent by another site"
        "A form was sent by a page of another site. Open the page of this service, and send the form from there.";
    NOT_FOUND "not_found" NOT_FOUND "There is none"
        "Nothing has the id in the address, or there is no such route. Check the address.";
    METHOD_NOT_ALLOWED "method_not_allowed" METHOD_NOT_ALLOWED "Not with this method"
        "Take a method that the header `Allow` names.";
    CONFLICT "conflict" CONFLICT "Something else stands"
        "There is already a thing with this id that says something else, and it stays. Send the same again, or take a new id.";
    IDEMPOTENCY_CONFLICT "idempotency_conflict" CONFLICT "This Idempotency-Key was another call's"
        "Take a new `Idempotency-Key` for each call, and the same one only to repeat a call as it was.";
    NAME_TAKEN "name_taken" CONFLICT "The name is taken"
        "Take another name, or delete what has this one.";
    NO_NEW_CODE "no_new_code" CONFLICT "No code is left"
        "All codes of this pattern are there already. Take a longer length or another prefix.";
    AMBIGUOUS_CODE "ambiguous_code" CONFLICT "Several promotions have this code"
        "Call the route that names the promotion too.";
    NOT_A_SUCCESS "not_a_success" CONFLICT "There is nothing to take back"
        "Only a redemption that succeeded can be rolled back.";
    ALREADY_ROLLED_BACK "already_rolled_back" CONFLICT "It was taken back before"
        "Another rollback took this redemption back. Nothing is left to do.";
    TIMELINE_TOO_LARGE "timeline_too_large" CONFLICT "Too many facts to decide from"
        "The customer has more facts than are read at once, so the figures of the last run stay. The reconciliation lists them under parked.";
    NO_FILES "no_files" CONFLICT "There is nowhere to write files"
        "The service keeps everything in memory. Start it with `--data DIR`.";
    PRECONDITION_FAILED "precondition_failed" PRECONDITION_FAILED "Somebody was faster"
        "Read the thing again, and repeat the change with the new `ETag` in `If-Match`.";
    TOO_LARGE "too_large" PAYLOAD_TOO_LARGE "The body is too large"
        "Nothing was taken in. Send less at a time.";
    MEDIA_TYPE "media_type" UNSUPPORTED_MEDIA_TYPE "Not this media type"
        "Send a body of a media type, and a `Content-Encoding`, that the route takes.";
    MISDIRECTED "misdirected" MISDIRECTED_REQUEST "Not under this host"
        "The service does not answer to the host of the address. Call it by a host that it was given.";
    INVALID "invalid" UNPROCESSABLE_ENTITY "Something is wrong with the fields"
        "Correct each field that `errors` lists, and send all of it again.";
    ANSWER_TOO_LARGE "answer_too_large" UNPROCESSABLE_ENTITY "The answer would be too large"
        "Ask for a shorter period, for fewer rows, or for an export.";
    TOO_MANY_CALLS "too_many_calls" TOO_MANY_REQUESTS "Too many calls"
        "Repeat the call after the seconds in `Retry-After`.";
    INTERNAL "internal" INTERNAL_SERVER_ERROR "Something failed here"
        "The call may be repeated. It was done or not; a fact that is sent twice counts once.";
    BUSY "busy" SERVICE_UNAVAILABLE "Busy"
        "Repeat the call after the seconds in `Retry-After`.";
}

impl Kind {
    /// The URI of the kind, as `type` has it.
    pub fn uri(&self) -> String {
        format!("{TYPES}{}", self.name)
    }

    /// The kind of a conflict with this code. A code that is no kind of its own is a [`CONFLICT`].
    pub(super) fn of_conflict(code: &str) -> &'static Self {
        let is = |kind: &&&Self| kind.name == code && kind.status == StatusCode::CONFLICT;
        KINDS.iter().find(is).map_or(&CONFLICT, |kind| kind)
    }
}
