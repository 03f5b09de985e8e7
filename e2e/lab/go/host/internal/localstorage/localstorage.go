// Package localstorage provisions volumes of the lab as directories: <root>/<node>/volumes/<volume>. All nodes of the
// lab share the file system of the one machine that they run on, so the provisioner is a plain process there and needs
// no helper pods.
package localstorage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// ProvisionerName is what a StorageClass names in its field provisioner. Its volumeBindingMode must be
// WaitForFirstConsumer, because the node has to be known before the directory is made.
const ProvisionerName = "warren.dev/local-path"

// volumeMode lets every user id write: the ids of pods, in user namespaces too, are not known here.
const volumeMode = 0o777

// Provisioner makes and removes the directories. All access goes through an [os.Root], so even a symbolic link below
// the root cannot lead a removal out of it.
type Provisioner struct{ root *os.Root }

var _ controller.Provisioner = (*Provisioner)(nil)

// Open makes the directory at path if it is missing and confines the provisioner to it.
func Open(path string) (*Provisioner, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", path, err)
	}
	if absolute == "/" {
		return nil, errors.New("the root of the machine is not a place for volumes")
	}
	if err := os.MkdirAll(absolute, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(absolute)
	if err != nil {
		return nil, err
	}
	return &Provisioner{root}, nil
}

// Check tells whether the directory is still there.
func (p *Provisioner) Check() error {
	opened, err := p.root.Stat(".")
	if err != nil {
		return err
	}
	named, err := os.Stat(p.root.Name())
	if err != nil {
		return err
	}
	if !os.SameFile(opened, named) {
		return fmt.Errorf("%s was replaced while it was in use", p.root.Name())
	}
	return nil
}

// Provision makes the directory of a volume on the node that the scheduler chose.
func (p *Provisioner) Provision(
	_ context.Context, options controller.ProvisionOptions,
) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	volume, err := p.provision(options)
	return volume, controller.ProvisioningFinished, err
}

func (p *Provisioner) provision(options controller.ProvisionOptions) (*corev1.PersistentVolume, error) {
	claim := options.PVC.Spec
	for _, mode := range claim.AccessModes {
		if mode != corev1.ReadWriteOnce && mode != corev1.ReadWriteOncePod {
			return nil, fmt.Errorf("access mode %s: a directory of one node can be ReadWriteOnce or ReadWriteOncePod", mode)
		}
	}
	if claim.Selector != nil {
		return nil, errors.New("a claim with a selector cannot be provisioned")
	}
	if options.SelectedNodeName == "" {
		return nil, errors.New("no node selected: the StorageClass needs volumeBindingMode WaitForFirstConsumer")
	}
	directory, err := volumeDirectory(options.SelectedNodeName, options.PVName)
	if err != nil {
		return nil, err
	}
	if err := p.root.MkdirAll(directory, 0o755); err != nil {
		return nil, err
	}
	if err := p.root.Chmod(directory, volumeMode); err != nil { // mkdir would take the umask off
		return nil, err
	}
	reclaim := corev1.PersistentVolumeReclaimDelete
	if options.StorageClass.ReclaimPolicy != nil {
		reclaim = *options.StorageClass.ReclaimPolicy
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: options.PVName},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes:                   claim.AccessModes,
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Resources.Requests[corev1.ResourceStorage]},
			MountOptions:                  options.StorageClass.MountOptions,
			NodeAffinity:                  onlyOn(options.SelectedNodeName),
			PersistentVolumeReclaimPolicy: reclaim,
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{
				Path: filepath.Join(p.root.Name(), directory),
				// Not DirectoryOrCreate: a lost volume shall fail, and not come back empty.
				Type: new(corev1.HostPathDirectory),
			}},
			VolumeMode: new(corev1.PersistentVolumeFilesystem),
		},
	}, nil
}

// Delete removes the directory of a volume; one that is gone already is fine.
func (p *Provisioner) Delete(_ context.Context, volume *corev1.PersistentVolume) error {
	directory, err := p.directoryOf(volume)
	if err != nil {
		return err
	}
	return p.root.RemoveAll(directory)
}

// directoryOf goes by the path, as Rancher's provisioner does: a volume may lie in a directory that was made for another
// one. Of what a PersistentVolume says it trusts nothing else: the path has to be exactly one that Provision gives, on
// the node that the volume is bound to.
func (p *Provisioner) directoryOf(volume *corev1.PersistentVolume) (string, error) {
	if volume.Spec.HostPath == nil {
		return "", fmt.Errorf("volume %s has no hostPath", volume.Name)
	}
	path := volume.Spec.HostPath.Path
	node := filepath.Base(filepath.Dir(filepath.Dir(path)))
	directory, err := volumeDirectory(node, filepath.Base(path))
	if err != nil {
		return "", fmt.Errorf("path %s: %w", path, err)
	}
	if path != filepath.Join(p.root.Name(), directory) {
		return "", fmt.Errorf("path %s is not that of a volume below %s", path, p.root.Name())
	}
	if !slices.Contains(nodesOf(volume), node) {
		return "", fmt.Errorf("path %s is not on the node of volume %s", path, volume.Name)
	}
	return directory, nil
}

// volumeDirectory is relative to the root. Names of nodes and volumes are DNS subdomains, which hold no slash and
// neither are nor begin with "..".
func volumeDirectory(node, volume string) (string, error) {
	for _, name := range []string{node, volume} {
		if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
			return "", fmt.Errorf("name %q: %s", name, slices.Min(problems))
		}
	}
	return filepath.Join(node, "volumes", volume), nil
}

// nodesOf names the nodes that a volume is bound to.
func nodesOf(volume *corev1.PersistentVolume) []string {
	affinity := volume.Spec.NodeAffinity
	if affinity == nil || affinity.Required == nil {
		return nil
	}
	var nodes []string
	for _, term := range affinity.Required.NodeSelectorTerms {
		for _, expression := range term.MatchExpressions {
			if expression.Key == corev1.LabelHostname {
				nodes = append(nodes, expression.Values...)
			}
		}
	}
	return nodes
}

func onlyOn(node string) *corev1.VolumeNodeAffinity {
	term := corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{
		Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node},
	}}}
	return &corev1.VolumeNodeAffinity{
		Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{term}},
	}
}
