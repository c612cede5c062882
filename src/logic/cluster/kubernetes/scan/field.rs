//! The fields of a document that are kept, and their location.

/// An object or list of a document that contains kept fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::logic::cluster::kubernetes) enum ObjectScope {
    /// A line of a watch
    Line,
    /// A page of a list
    Page,
    PageMetadata,
    Items,
    Object,
    Metadata,
    Annotations,
    Spec,
    Status,
}

/// What to do with a value, by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Under {
    Enter(ObjectScope),
    Items,
    Keep(FieldSlot),
    Skip,
}

/// The destination of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::logic::cluster::kubernetes) enum FieldSlot {
    Field(Field),
    /// A bit per wanted annotation with this name; two may be configured with the same name
    Annotations(u8),
}

/// A field that is kept as raw JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::logic::cluster::kubernetes) enum Field {
    Uid,
    Namespace,
    Name,
    Version,
    Deletion,
    ServiceAccount,
    HostNetwork,
    Phase,
    Address,
    Addresses,
    /// Fields of a line
    Type,
    Code,
    Reason,
    Message,
    /// Fields of a page
    PageVersion,
    Continuation,
}

/// A value as raw JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::logic::cluster::kubernetes) enum Raw {
    Whole(Vec<u8>),
    TooLong,
}

impl ObjectScope {
    pub(super) fn under(self, key: &str, wanted: &[Box<str>]) -> Under {
        let field = |field| Under::Keep(FieldSlot::Field(field));
        match (self, key) {
            (Self::Line, "type") => field(Field::Type),
            (Self::Line, "object") => Under::Enter(Self::Object),
            (Self::Page, "metadata") => Under::Enter(Self::PageMetadata),
            (Self::Page, "items") => Under::Items,
            (Self::PageMetadata, "resourceVersion") => field(Field::PageVersion),
            (Self::PageMetadata, "continue") => field(Field::Continuation),
            (Self::Object, "metadata") => Under::Enter(Self::Metadata),
            (Self::Object, "spec") => Under::Enter(Self::Spec),
            (Self::Object, "status") => Under::Enter(Self::Status),
            (Self::Object, "code") => field(Field::Code),
            (Self::Object, "reason") => field(Field::Reason),
            (Self::Object, "message") => field(Field::Message),
            (Self::Metadata, "uid") => field(Field::Uid),
            (Self::Metadata, "namespace") => field(Field::Namespace),
            (Self::Metadata, "name") => field(Field::Name),
            (Self::Metadata, "resourceVersion") => field(Field::Version),
            (Self::Metadata, "deletionTimestamp") => field(Field::Deletion),
            (Self::Metadata, "annotations") => Under::Enter(Self::Annotations),
            (Self::Annotations, key) => {
                let bits = wanted.iter().enumerate().map(|(place, name)| u8::from(**name == *key) << place);
                match bits.fold(0, |all, bit| all | bit) {
                    0 => Under::Skip,
                    bits => Under::Keep(FieldSlot::Annotations(bits)),
                }
            }
            (Self::Spec, "serviceAccountName") => field(Field::ServiceAccount),
            (Self::Spec, "hostNetwork") => field(Field::HostNetwork),
            (Self::Status, "phase") => field(Field::Phase),
            (Self::Status, "podIP") => field(Field::Address),
            (Self::Status, "podIPs") => field(Field::Addresses),
            _ => Under::Skip,
        }
    }

    /// Its path in an object, for messages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Line => "line of a watch",
            Self::Page => "list",
            Self::Items => "items",
            Self::Object => "object",
            Self::Metadata | Self::PageMetadata => "metadata",
            Self::Annotations => "metadata.annotations",
            Self::Spec => "spec",
            Self::Status => "status",
        }
    }
}

impl FieldSlot {
    /// The limit of the kept value, in bytes.
    pub(super) const fn longest(self) -> usize {
        match self {
            Self::Field(Field::Message | Field::Addresses | Field::Continuation) => 64 * 1_024,
            Self::Field(_) => 4 * 1_024,
            Self::Annotations(_) => 6 * ANNOTATION_BYTES + 2,
        }
    }
}

impl Field {
    pub(in crate::logic::cluster::kubernetes) const COUNT: usize = Self::Continuation as usize + 1;

    /// Its path in an object, for messages.
    pub(in crate::logic::cluster::kubernetes) const fn name(self) -> &'static str {
        match self {
            Self::Uid => "metadata.uid",
            Self::Namespace => "metadata.namespace",
            Self::Name => "metadata.name",
            Self::Version | Self::PageVersion => "metadata.resourceVersion",
            Self::Deletion => "metadata.deletionTimestamp",
            Self::ServiceAccount => "spec.serviceAccountName",
            Self::HostNetwork => "spec.hostNetwork",
            Self::Phase => "status.phase",
            Self::Address => "status.podIP",
            Self::Addresses => "status.podIPs",
            Self::Type => "type",
            Self::Code => "code",
            Self::Reason => "reason",
            Self::Message => "message",
            Self::Continuation => "metadata.continue",
        }
    }
}

/// All annotations of an object together (API concepts, "Annotations": 256 KiB). The API server's JSON takes at most
/// six bytes per byte, as in `\u003c`.
const ANNOTATION_BYTES: usize = 256 * 1_024;
