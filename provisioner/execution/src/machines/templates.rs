//! What machines are copies of.

use super::Machines;
use proxmox_client::{Error, NodeName, Resource, ResourceKind, Tag, VmId};
use std::collections::BTreeMap;

/// The templates that machines are made of: at most one on each node of Proxmox VE, and none where no machines are made.
#[derive(Debug, Clone)]
pub enum Templates {
    /// These.
    Named(BTreeMap<NodeName, VmId>),
    /// Those that carry this tag; of several on a node the one with the highest number.
    Tagged(Tag),
}

impl Templates {
    /// Those of these machines that are templates and carry the tag; machines are listed with all that Proxmox VE has.
    pub(crate) fn among(&self, resources: &[Resource]) -> BTreeMap<NodeName, VmId> {
        let tag = match self {
            Self::Named(named) => return named.clone(),
            Self::Tagged(tag) => tag,
        };
        // A copy of a template has its tags, too.
        let is_meant = |resource: &&Resource| {
            resource.kind == "qemu" && resource.is_template && resource.tags().contains(tag)
        };
        let mut found = BTreeMap::new();
        for resource in resources.iter().filter(is_meant) {
            let (Some(node), Some(vm)) = (&resource.node, resource.vm) else { continue };
            let highest = found.entry(node.clone()).or_insert(vm);
            *highest = vm.max(*highest);
        }
        found
    }
}

impl Machines {
    /// The template on each node of Proxmox VE, as it is now.
    pub(crate) async fn templates(&self) -> Result<BTreeMap<NodeName, VmId>, Error> {
        match &self.settings.templates {
            Templates::Named(named) => Ok(named.clone()),
            tagged @ Templates::Tagged(_) => {
                Ok(tagged.among(&self.client.resources(Some(ResourceKind::Vm)).await?))
            }
        }
    }
}
