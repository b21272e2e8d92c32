//! What models cost, and what plans save of it.
use candle_core::DType;
use pillars::analysis::{AnalysisSettings, Groups};
use pillars::plan::{Amount, Cost, Method, PlanRequest, Saving, propose, snap};

use crate::common::heads::{families, open, run};

#[test]
fn costs_count_every_parameter_of_every_family_and_plans_are_carried_out() {
    for family in families() {
        let (model, network, whole) = open(&family, DType::F32);
        let cost = Cost::of(model.spec(), 16);
        assert_eq!(cost.parameters, model.parameters(), "{family}");
        assert!(cost.attention_parameters < cost.parameters_without_embeddings);
        let settings = AnalysisSettings { groups: Groups::Fixed(2), ..AnalysisSettings::default() };
        let found = run(&model, &network, &[whole], &settings);
        for method in [Method::Votes, Method::PerGroup, Method::Score, Method::Random, Method::RandomInGroup] {
            for amount in [Amount::Groups, Amount::Keep(3), Amount::Ratio(0.5)] {
                let plan = propose(&found, &PlanRequest::new(method, amount)).unwrap();
                plan.validate(model.spec()).unwrap();
                let (legal, notes) = snap(model.spec(), &plan).unwrap();
                // The analysis knows as much of the model as snapping needs.
                assert_eq!(snap(&found, &plan).unwrap(), (legal.clone(), notes));
                let saving = Saving::of(model.spec(), &legal, 16).unwrap();
                assert!(saving.after.parameters <= saving.before.parameters);
                assert!(saving.least.parameters <= saving.after.parameters, "{family}");
                assert!(saving.least.flops <= saving.after.flops && saving.after.flops <= saving.before.flops);
            }
        }
    }
}
