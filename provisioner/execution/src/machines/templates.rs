//! What machines are copies of.

use super::Machines;
use proxmox_client::{Error, NodeEntry, NodeName, Resource, ResourceKind, Tag, VmId};
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
    /// Those that are told by their numbers.
    pub(crate) const fn named(&self) -> Option<&BTreeMap<NodeName, VmId>> {
        match self {
            Self::Named(named) => Some(named),
            Self::Tagged(_) => None,
        }
    }

    /// The nodes of Proxmox VE on which machines are made, or may have been: any may have had a template with the tag.
    pub(crate) fn places<'a>(&'a self, entries: &'a [NodeEntry]) -> Vec<&'a NodeName> {
        match self {
            Self::Named(named) => named.keys().collect(),
            Self::Tagged(_) => entries.iter().map(|entry| &entry.name).collect(),
        }
    }

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
        let templates = &self.settings.templates;
        match templates.named() {
            Some(named) => Ok(named.clone()),
            None => Ok(templates.among(&self.client.resources(Some(ResourceKind::Vm)).await?)),
        }
    }
}
