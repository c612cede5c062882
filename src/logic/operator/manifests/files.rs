//! The text of every kustomization in `manifests`, and of the files it references.

/// A path below `manifests`, and the file's text.
pub(super) type ManifestFile = (&'static str, &'static str);

macro_rules! file {
    ($path:literal) => {
        ($path, include_str!(concat!("../../../../manifests/", $path)))
    };
}

pub(super) static FILES: &[ManifestFile] = &[
    file!("base/cluster-role-binding.yaml"),
    file!("base/cluster-role.yaml"),
    file!("base/daemon-set.yaml"),
    file!("base/kustomization.yaml"),
    file!("base/service-account.yaml"),
    file!("components/container-credentials/kustomization.yaml"),
    file!("components/container-credentials/mutating-policy.yaml"),
    file!("components/container-credentials/parameters.yaml"),
    file!("components/container-credentials/validating-policy.yaml"),
    file!("components/events/kustomization.yaml"),
    file!("components/issuer-discovery/kustomization.yaml"),
    file!("components/no-capabilities/kustomization.yaml"),
    file!("components/remove-taint/kustomization.yaml"),
    file!("components/service-account-roles/kustomization.yaml"),
    file!("components/uninstall/kustomization.yaml"),
    file!("overlays/amazon-vpc-cni/kustomization.yaml"),
    file!("overlays/bootstrap/kustomization.yaml"),
    file!("overlays/calico/kustomization.yaml"),
    file!("overlays/cilium/kustomization.yaml"),
    file!("overlays/flannel/kustomization.yaml"),
    file!("overlays/kubenet/kustomization.yaml"),
    file!("overlays/non-root/kustomization.yaml"),
    file!("overlays/non-root/redirect.yaml"),
    file!("overlays/openshift/kustomization.yaml"),
    file!("overlays/openshift/security-context-constraints.yaml"),
];
