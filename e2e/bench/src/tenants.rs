//! Several tenants of one figure.

use anyhow::Result;
use black_box::{Lab, TestTenant};

/// How long the host may take to delete them, in seconds.
const DELETION_S: u64 = 600;

/// Makes tenants and waits until all are ready.
pub(crate) fn made(lab: &Lab, name: &str, count: usize, plan: &str) -> Result<Vec<TestTenant>> {
    let one = |n| TestTenant::created_with_plan(lab, &format!("{name}-{n}"), plan);
    let tenants: Vec<TestTenant> = (0..count).map(one).collect::<Result<_>>()?;
    for tenant in &tenants {
        tenant.wait_ready()?;
    }
    Ok(tenants)
}

/// Deletes tenants and waits for it: the next figure must not share the machine with their end.
pub(crate) fn removed(tenants: &[TestTenant]) -> Result<()> {
    let operations: Vec<_> =
        tenants.iter().map(|tenant| tenant.delete("")).collect::<Result<_>>()?;
    for (tenant, operation) in tenants.iter().zip(&operations) {
        tenant.operation_end(operation, DELETION_S)?;
    }
    Ok(())
}
