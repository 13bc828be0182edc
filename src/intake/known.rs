//! The fields that the intake itself reads or sets, by number.

use std::sync::LazyLock;

use crate::schema::{FieldId, field_id};

pub(super) struct KnownFields {
    pub(super) timestamp: FieldId,
    pub(super) code: FieldId,
    pub(super) node: FieldId,
    pub(super) originals: FieldId,
    pub(super) object_types: FieldId,
    pub(super) objects: FieldId,
    pub(super) principal_name: FieldId,
    pub(super) principal_realm: FieldId,
    pub(super) repaired: FieldId,
    pub(super) severity: FieldId,
    pub(super) severity_number: FieldId,
    pub(super) stream: FieldId,
    pub(super) unmapped: FieldId,
    pub(super) ecs_version: FieldId,
    pub(super) action: FieldId,
    pub(super) id: FieldId,
    pub(super) outcome: FieldId,
    pub(super) provider: FieldId,
    pub(super) saved_objects: FieldId,
    pub(super) server_uuid: FieldId,
    pub(super) space_ids: FieldId,
    pub(super) version: FieldId,
    pub(super) labels: FieldId,
    pub(super) level: FieldId,
}

impl KnownFields {
    pub(super) fn get() -> &'static Self {
        static KNOWN: LazyLock<KnownFields> = LazyLock::new(KnownFields::find);
        &KNOWN
    }

    fn find() -> Self {
        Self {
            timestamp: id("@timestamp"),
            code: id("annals.code"),
            node: id("annals.node"),
            originals: id("annals.originals"),
            object_types: id("annals.object_types"),
            objects: id("annals.objects"),
            principal_name: id("annals.principal.name"),
            principal_realm: id("annals.principal.realm"),
            repaired: id("annals.repaired"),
            severity: id("annals.severity"),
            severity_number: id("annals.severity_number"),
            stream: id("annals.stream"),
            unmapped: id("annals.unmapped"),
            ecs_version: id("ecs.version"),
            action: id("event.action"),
            id: id("event.id"),
            outcome: id("event.outcome"),
            provider: id("event.provider"),
            saved_objects: id("kibana.saved_objects"),
            server_uuid: id("kibana.server_uuid"),
            space_ids: id("kibana.space_ids"),
            version: id("kibana.version"),
            labels: id("labels"),
            level: id("log.level"),
        }
    }
}

#[expect(clippy::expect_used, reason = "a test holds the generated table to the fields that are named here")]
fn id(path: &str) -> FieldId {
    field_id(path).expect("the field is in mappings/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_named_in_the_intake_is_mapped() {
        assert_eq!(KnownFields::get().id.field().path, "event.id");
    }
}
