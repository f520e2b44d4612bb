//! Promises of docker-compose.yml and `k8s/` that no cluster is needed to check. `tests/k8s` checks what
//! kustomize makes of `k8s/`.

use crate::source_tree::read;

/// Returns the part of docker-compose.yml that describes a service.
fn service(name: &str) -> String {
    let compose = read("docker-compose.yml");
    let (_, services) = compose.split_once("\nservices:").unwrap();
    let (_, after) = services.split_once(&format!("\n  {name}:\n")).unwrap_or_else(|| panic!("no service {name}"));
    let lines = after.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_gpu_profile_never_marks_with_the_published_key() {
    let compose = read("docker-compose.yml");
    assert!(!compose.contains("not a secret}"), "a published key is no default");
    assert!(compose.contains("CSM_WATERMARK_KEY: ${CSM_WATERMARK_KEY:-}"));
    assert!(service("worker").contains("CSM_DEVELOPMENT_WATERMARK"), "the profile cpu is for development");
    assert!(!service("worker-gpu").contains("CSM_DEVELOPMENT_WATERMARK"), "without a secret the worker does not start");
}

#[test]
fn no_service_of_the_fleet_has_the_stores_root_account_or_more_rights_than_it_needs() {
    for name in ["gateway", "worker", "worker-gpu", "model-init", "redis", "prometheus"] {
        let service = service(name);
        assert!(!service.contains("ROOT"), "{name}");
        assert!(service.contains("<<: *hardened") || service.contains("<<: *worker"), "{name}");
    }
    let compose = read("docker-compose.yml");
    let hardened = "x-hardened: &hardened\n  <<: *confined\n  read_only: true";
    assert!(compose.contains(hardened) && compose.contains("x-worker: &worker\n  <<: *hardened"));
    let confined = "x-confined: &confined\n  cap_drop: [ALL]\n  security_opt: [no-new-privileges:true]";
    assert!(compose.contains(confined));
    for name in ["s3", "s3-bucket", "grafana"] {
        assert!(service(name).contains("<<: *confined"), "{name}");
    }
}

#[test]
fn the_gateway_of_kubernetes_holds_its_own_credentials_alone() {
    let gateway = read("k8s/base/gateway.yaml");
    let secrets: Vec<_> = gateway.lines().filter(|line| line.contains("secretRef")).map(str::trim).collect();
    assert_eq!(secrets, ["- secretRef: { name: csm-gateway-credentials, optional: true }"]);
    assert!(!read("k8s/base/worker/worker.yaml").contains("csm-gateway-credentials"));
}

#[test]
fn each_network_policy_bounds_what_goes_out() {
    let network = read("k8s/base/network.yaml");
    for policy in network.split("\n---\n") {
        assert!(policy.contains("policyTypes: [Ingress, Egress]") && policy.contains("\n  egress:"), "{policy}");
    }
    assert_eq!(network.matches("kind: NetworkPolicy").count(), 4);
    assert!(network.contains("except: [169.254.0.0/16]"), "no credentials of the machine");
}
