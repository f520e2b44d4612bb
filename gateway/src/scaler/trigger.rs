//! Metadata of the trigger that asks: lanes, and slots of a worker.

use csm_shared::job::Lane;
use tonic::Status;

use super::externalscaler::ScaledObjectRef;

/// Field with the lanes whose slots are counted, with commas in between; all of them if it is missing.
const LANES: &str = "lanes";
/// Field with the slots of each worker that is scaled.
const SLOTS_PER_WORKER: &str = "slotsPerWorker";
/// Slots of a worker if the trigger does not say: the default of csm-worker.
const DEFAULT_SLOTS: f64 = 5.0;
/// Least and most slots of a worker. They may be fractions, because an HPA lets a tenth too much pass.
const SLOTS: std::ops::RangeInclusive<f64> = 0.1..=255.0;

/// Lanes and slots that a trigger names. Further fields, such as KEDA's `scalerAddress`, have no meaning here.
#[derive(Debug, PartialEq)]
pub(super) struct Trigger {
    /// Lanes whose slots are counted.
    pub(super) lanes: Vec<Lane>,
    /// Slots of a worker, within [`SLOTS`].
    pub(super) slots_per_worker: f64,
}

impl Trigger {
    /// Reads the metadata of a request.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with the field, its value and what is allowed.
    pub(super) fn of(asked: &ScaledObjectRef) -> Result<Self, Status> {
        let field = |name: &str| asked.scaler_metadata.get(name).map(|value| value.trim());
        let lanes = match field(LANES) {
            None => Lane::ALL.to_vec(),
            Some(names) => names.split(',').map(|name| lane(name.trim())).collect::<Result<_, _>>()?,
        };
        let slots_per_worker = match field(SLOTS_PER_WORKER) {
            None => DEFAULT_SLOTS,
            Some(slots) => slots.parse().ok().filter(|slots| SLOTS.contains(slots)).ok_or_else(|| {
                let (least, most) = (SLOTS.start(), SLOTS.end());
                let limits = format!("{SLOTS_PER_WORKER}: {slots:?} is no number from {least} to {most}");
                Status::invalid_argument(limits)
            })?,
        };
        Ok(Self { lanes, slots_per_worker })
    }
}

fn lane(name: &str) -> Result<Lane, Status> {
    Lane::ALL.into_iter().find(|lane| lane.name() == name).ok_or_else(|| {
        let known = Lane::ALL.map(Lane::name).join(", ");
        Status::invalid_argument(format!("{LANES}: {name:?} is no lane; the lanes are {known}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(fields: &[(&str, &str)]) -> Result<Trigger, String> {
        let scaler_metadata = fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let asked = ScaledObjectRef { scaler_metadata, ..ScaledObjectRef::default() };
        Trigger::of(&asked).map_err(|status| status.message().to_owned())
    }

    #[test]
    fn a_trigger_names_lanes_and_slots() {
        let all = Trigger { lanes: Lane::ALL.to_vec(), slots_per_worker: 5.0 };
        assert_eq!(trigger(&[("scalerAddress", "gateway:9092")]), Ok(all));
        let some = Trigger { lanes: vec![Lane::Live, Lane::Bulk], slots_per_worker: 4.5 };
        assert_eq!(trigger(&[("lanes", " live, bulk"), ("slotsPerWorker", "4.5")]), Ok(some));
    }

    #[test]
    fn a_wrong_trigger_is_told_what_is_allowed() {
        let wrong = |name, value| trigger(&[(name, value)]).expect_err("wrong");
        assert_eq!(wrong("lanes", "live,fast"), r#"lanes: "fast" is no lane; the lanes are live, standard, bulk"#);
        assert_eq!(wrong("lanes", ""), r#"lanes: "" is no lane; the lanes are live, standard, bulk"#);
        for slots in ["0", "256", "-1", "NaN", "five", ""] {
            let told = format!("slotsPerWorker: {slots:?} is no number from 0.1 to 255");
            assert_eq!(wrong("slotsPerWorker", slots), told);
        }
    }
}
