//! The stable words for everything that a request can be refused for.

use axum::http::StatusCode;
use utoipa::openapi::{Object, ObjectBuilder, Type};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:ident, $title:literal, $detail:literal, $hint:expr;)*) => {
        /// Why a request was refused, in one word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word, which never changes.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// A few words for people.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            pub(super) const fn detail(self) -> &'static str {
                match self { $(Self::$name => $detail,)* }
            }

            pub(super) const fn hint(self) -> Option<&'static str> {
                match self { $(Self::$name => $hint,)* }
            }
        }
    };
}

codes! {
    /// A JSON body that cannot be read.
    MalformedJson = "malformed-json", BAD_REQUEST, "Malformed JSON", "The body is not JSON.", None;
    /// A body that stopped coming.
    BodyInterrupted = "body-interrupted", BAD_REQUEST, "Body interrupted",
        "The body ended before it was complete.", Some("Send the request again.");
    /// A part of the path that is not an identifier.
    InvalidId = "invalid-id", BAD_REQUEST, "Invalid identifier", "A part of the path is not an identifier.", None;
    /// A query parameter that breaks a rule.
    InvalidQuery = "invalid-query", BAD_REQUEST, "Invalid query", "A query parameter breaks a rule.", None;
    /// A header that breaks a rule.
    InvalidHeader = "invalid-header", BAD_REQUEST, "Invalid header", "A header breaks a rule.", None;
    /// An idempotency key where none can be kept.
    IdempotencyUnsupported = "idempotency-unsupported", BAD_REQUEST, "Idempotency-Key not supported",
        "This answer holds a secret that is not stored, so it cannot be given again.",
        Some("Leave out Idempotency-Key.");
    /// A range of bytes that begins behind the end of the file.
    RangeNotSatisfiable = "range-not-satisfiable", RANGE_NOT_SATISFIABLE, "No such range",
        "The file ends before the range begins.", Some("Leave out Range, or ask for the file's size first.");
    /// No token, or none that is known.
    Unauthenticated = "unauthenticated", UNAUTHORIZED, "Not signed in",
        "This needs a valid API token.", Some("Send the header Authorization: Bearer wrn_….");
    /// The role lacks the right.
    Forbidden = "forbidden", FORBIDDEN, "Not allowed", "Your role may not do this.",
        Some("Ask an owner of the tenant for a token with a role that may.");
    /// It does not exist, or the caller may not know that it does.
    NotFound = "not-found", NOT_FOUND, "Not found", "There is no such thing, or you may not see it.", None;
    /// There is no such route.
    NoSuchRoute = "no-such-route", NOT_FOUND, "No such route", "There is nothing at this path.",
        Some("See /openapi.json for what there is.");
    /// The route has no such method.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, "Method not allowed",
        "This path does not take that method.", Some("The header Allow lists the methods that it takes.");
    /// The answer has no form that the caller takes.
    NotAcceptable = "not-acceptable", NOT_ACCEPTABLE, "Not acceptable",
        "The answer has none of the forms that the header Accept asks for.", None;
    /// The caller was silent for too long.
    RequestTimeout = "request-timeout", REQUEST_TIMEOUT, "Request timed out",
        "The body stopped coming.", Some("Send the request again.");
    /// The name is taken.
    NameTaken = "name-taken", CONFLICT, "Name taken", "A tenant has that name.",
        Some("Choose another name.");
    /// No operator would be left.
    LastOperator = "last-operator", CONFLICT, "Last operator",
        "It is the last token of an operator: without it nobody could run the platform.",
        Some("Make another one first.");
    /// Nobody would be left who can change anything.
    LastOwner = "last-owner", CONFLICT, "Last owner",
        "Nobody would be left who can change anything here. Nothing was changed.",
        Some("Make somebody else an owner first.");
    /// A piece of an upload that does not begin where what is there ends.
    UploadOffset = "upload-offset", CONFLICT, "Wrong offset", "The upload goes on elsewhere.",
        Some("HEAD says where it goes on.");
    /// Another request goes on with the same upload.
    UploadTakenOver = "upload-taken-over", CONFLICT, "Upload taken over",
        "Another request goes on with this upload.", None;
    /// The tenant is on its way out.
    TenantDeleting = "tenant-deleting", CONFLICT, "Tenant is being deleted",
        "The tenant is being deleted and takes nothing new.", None;
    /// The tenant is not far enough.
    TenantNotReady = "tenant-not-ready", CONFLICT, "Tenant is not ready",
        "The tenant is not ready for this.", Some("Watch the tenant's operation, and try again when it is done.");
    /// Something else is being done about the tenant.
    TenantBusy = "tenant-busy", CONFLICT, "Tenant is busy", "Something else is being done about the tenant.",
        Some("Wait until that operation is over, or take it back, and ask again.");
    /// The node is not well.
    NodeNotReady = "node-not-ready", CONFLICT, "Node is not ready", "The node is not ready.",
        Some("Its operation says what is being done about it.");
    /// It is not proven to be Warren's.
    OrphanNotOurs = "orphan-not-ours", CONFLICT, "Not proven to be Warren's", "It is not proven to be Warren's.",
        Some("Nothing was changed. Look at it by hand, and remove it by hand if nobody needs it.");
    /// It is not there any more.
    OrphanOver = "orphan-over", CONFLICT, "Not there any more", "It is not there any more.", None;
    /// The node is not stopped.
    NodeNotStopped = "node-not-stopped", CONFLICT, "Node is not stopped", "The node is not stopped.",
        Some("Only a node that was stopped is started. Its state says how it is.");
    /// Volumes would be lost with the node.
    NodeHasVolumes = "node-has-volumes", CONFLICT, "Volumes are on the node's disk", "Volumes are on the node's disk.",
        Some("Nothing was changed. Ask again with volumes: copy, which stops what uses them for as long as that takes, or with volumes: lose.");
    /// Something else is being done about the node.
    NodeBusy = "node-busy", CONFLICT, "Node is busy", "Something else is being done about the node.",
        Some("Wait until that operation is over, and ask again.");
    /// Something is in the way of a change of plan.
    PlanChangeBlocked = "plan-change-blocked", CONFLICT, "Something is in the way",
        "Something is in the way of the change.", Some("Nothing was changed. dryRun=true shows everything that is in the way.");
    /// A change of the tenant's plan waits already, or the change has not begun.
    PlanChangeWaiting = "plan-change-waiting", CONFLICT, "A change waits", "A change of the tenant's plan waits already.",
        Some("Nothing was changed. Take back the one that waits, or wait for it.");
    /// The batch is over, or was given up.
    PlanBatchOver = "plan-change-batch-over", CONFLICT, "The batch is over", "The batch is over.",
        Some("Make another one.");
    /// The tenant changed while it was looked at.
    PlanChangeOutdated = "plan-change-outdated", CONFLICT, "The tenant changed meanwhile",
        "Another look promises something else than the one before.", Some("Nothing was changed. Ask for a preview again: dryRun=true.");
    /// The change is over, or there is no way back.
    PlanChangeOver = "plan-change-over", CONFLICT, "Too late for that",
        "The change of plan is over.", Some("A new change leads back.");
    /// The session is not far enough.
    SessionNotOver = "session-not-over", CONFLICT, "Session is not over",
        "The session is not over.", Some("Wait until it is over, or stop it.");
    /// It was there, and is not kept any longer.
    Expired = "expired", GONE, "Not kept any longer",
        "Its time was over, and it was removed.", Some("The plan says how long it is kept: warren plans.");
    /// The body is too big.
    BodyTooLarge = "body-too-large", PAYLOAD_TOO_LARGE, "Body too large", "The body is too large.", None;
    /// The body has another type than JSON.
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "Unsupported media type",
        "The body must be JSON.", Some("Send the header Content-Type: application/json.");
    /// Fields break rules.
    InvalidInput = "invalid-input", UNPROCESSABLE_ENTITY, "Invalid input", "A field breaks a rule.",
        Some("Nothing was changed. Correct the fields and send the request again.");
    /// The bytes are not the promised ones.
    DigestMismatch = "digest-mismatch", UNPROCESSABLE_ENTITY, "Digest mismatch",
        "The bytes do not have the digest in the path.", Some("Nothing was kept. Compute the digest again, or send the bytes again.");
    /// The plan has no room for it.
    QuotaExceeded = "quota-exceeded", UNPROCESSABLE_ENTITY, "Quota exceeded",
        "The tenant's plan has no room for this.", Some("Nothing was kept. Wait until older ones are gone, or ask for a larger plan.");
    /// The idempotency key was used for another request.
    IdempotencyMismatch = "idempotency-mismatch", UNPROCESSABLE_ENTITY, "Idempotency-Key used for another request",
        "This Idempotency-Key came with another request before.", Some("Use a new key for a new request.");
    /// A bug or a broken part of the server.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Internal error",
        "Something broke inside. It is in the log under the request's id.",
        Some("Try again. If it stays, tell an operator the request's id.");
    /// It is planned, and nobody has built it yet.
    NotImplemented = "not-implemented", NOT_IMPLEMENTED, "Not built yet", "This is not built yet.",
        Some("The README lists what works and what does not.");
    /// The cluster does not answer.
    ClusterUnreachable = "cluster-unreachable", SERVICE_UNAVAILABLE, "Cluster unreachable",
        "The cluster does not answer.", Some("Try again in some seconds.");
}

impl Code {
    /// The address of the page about this code.
    #[must_use]
    pub fn url(self) -> String {
        format!("https://warren.dev/problems/{}", self.as_str())
    }
}

pub(super) fn schema() -> Object {
    let words = Code::ALL.iter().map(|code| code.as_str());
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).build()
}
