package localstorage

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

func open(t *testing.T) (*Provisioner, string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	p, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.root.Close() })
	return p, root
}

func options(node, volume string, modes ...corev1.PersistentVolumeAccessMode) controller.ProvisionOptions {
	claim := &corev1.PersistentVolumeClaim{}
	claim.Spec.AccessModes = modes
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	return controller.ProvisionOptions{
		StorageClass: &storagev1.StorageClass{}, PVName: volume, PVC: claim, SelectedNodeName: node,
	}
}

func provisioned(t *testing.T, p *Provisioner) *corev1.PersistentVolume {
	t.Helper()
	volume, state, err := p.Provision(context.Background(), options("node1", "pvc-1", corev1.ReadWriteOnce))
	if err != nil || state != controller.ProvisioningFinished {
		t.Fatal(state, err)
	}
	return volume
}

func hostPath(name, path string) *corev1.PersistentVolume {
	volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
	volume.Spec.HostPath = &corev1.HostPathVolumeSource{Path: path}
	volume.Spec.NodeAffinity = onlyOn("node1")
	return volume
}

func TestAVolumeIsADirectoryThatEveryoneOnItsNodeMayWrite(t *testing.T) {
	p, root := open(t)
	volume := provisioned(t, p)
	want := filepath.Join(root, "node1", "volumes", "pvc-1")
	if got := volume.Spec.HostPath.Path; got != want {
		t.Errorf("path %s, want %s", got, want)
	}
	info, err := os.Stat(want)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != os.ModeDir|0o777 {
		t.Errorf("mode %s", info.Mode())
	}
	term := volume.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0]
	if term.Key != "kubernetes.io/hostname" || term.Operator != corev1.NodeSelectorOpIn || strings.Join(term.Values, ",") != "node1" {
		t.Errorf("node affinity %v", term)
	}
	if got := volume.Spec.Capacity[corev1.ResourceStorage]; got.String() != "1Gi" {
		t.Errorf("capacity %s", got.String())
	}
	if volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		t.Errorf("reclaim policy %s", volume.Spec.PersistentVolumeReclaimPolicy)
	}
}

func TestDeletingAVolumeRemovesItAndNotItsNeighbour(t *testing.T) {
	p, root := open(t)
	volume := provisioned(t, p)
	neighbour := filepath.Join(root, "node1", "volumes", "pvc-10")
	if err := os.MkdirAll(neighbour, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(volume.Spec.HostPath.Path, "deep", "deeper"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing left to do, which is success
		if err := p.Delete(context.Background(), volume); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(volume.Spec.HostPath.Path); !os.IsNotExist(err) {
		t.Errorf("the volume is still there: %v", err)
	}
	if _, err := os.Stat(neighbour); err != nil {
		t.Errorf("the neighbour is gone: %v", err)
	}
}

func TestOnlyPathsOfVolumesBelowTheRootAreRemoved(t *testing.T) {
	p, root := open(t)
	outside := filepath.Join(filepath.Dir(root), "outside")
	for _, directory := range []string{
		filepath.Join(outside, "node1", "volumes", "pvc-1"),
		filepath.Join(root+"-2", "node1", "volumes", "pvc-1"),
		filepath.Join(root, "node1", "volumes", "pvc-1"),
		filepath.Join(root, "node1", "ipam", "pvc-1"),
	} {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, filepath.Dir(root))
	for name, volume := range map[string]*corev1.PersistentVolume{
		"the root itself":            hostPath("pvc-1", root),
		"a whole node":               hostPath("node1", filepath.Join(root, "node1")),
		"all volumes of a node":      hostPath("volumes", filepath.Join(root, "node1", "volumes")),
		"another node's volume":      elsewhere(hostPath("pvc-1", filepath.Join(root, "node1", "volumes", "pvc-1"))),
		"something below a volume":   hostPath("deep", filepath.Join(root, "node1", "volumes", "pvc-1", "deep")),
		"other state of a node":      hostPath("pvc-1", filepath.Join(root, "node1", "ipam", "pvc-1")),
		"a path with dots":           hostPath("pvc-1", root+"/node1/volumes/../volumes/pvc-1"),
		"dots that lead out":         hostPath("pvc-1", root+"/../outside/node1/volumes/pvc-1"),
		"dots as a node":             hostPath("pvc-1", root+"/../volumes/pvc-1"),
		"dots as a volume":           hostPath("..", root+"/node1/volumes/.."),
		"a directory outside":        hostPath("pvc-1", filepath.Join(outside, "node1", "volumes", "pvc-1")),
		"a root with the same start": hostPath("pvc-1", filepath.Join(root+"-2", "node1", "volumes", "pvc-1")),
		"the root of the machine":    hostPath("pvc-1", "/"),
		"an empty path":              hostPath("pvc-1", ""),
		"no host path":               {ObjectMeta: metav1.ObjectMeta{Name: "pvc-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := p.Delete(context.Background(), volume); err == nil {
				t.Error("accepted")
			}
			if after := tree(t, filepath.Dir(root)); after != before {
				t.Errorf("something changed; before:\n%safter:\n%s", before, after)
			}
		})
	}
}

func elsewhere(volume *corev1.PersistentVolume) *corev1.PersistentVolume {
	volume.Spec.NodeAffinity = onlyOn("node2")
	return volume
}

func TestAVolumeThatLiesInTheDirectoryOfAnotherOneTakesThatWithIt(t *testing.T) {
	p, root := open(t)
	moved := hostPath("pvc-2", filepath.Join(root, "node1", "volumes", "pvc-1"))
	if err := os.MkdirAll(moved.Spec.HostPath.Path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := p.Delete(context.Background(), moved); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(moved.Spec.HostPath.Path); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
}

func TestASymbolicLinkDoesNotLeadARemovalOutOfTheRoot(t *testing.T) {
	p, root := open(t)
	outside := filepath.Join(filepath.Dir(root), "outside")
	if err := os.MkdirAll(filepath.Join(outside, "volumes", "pvc-1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(root, "node2")); err != nil {
		t.Fatal(err)
	}
	if err := p.Delete(context.Background(), hostPath("pvc-1", filepath.Join(root, "node2", "volumes", "pvc-1"))); err == nil {
		t.Error("a linked node directory was accepted")
	}
	volume := provisioned(t, p)
	if err := os.Symlink(outside, filepath.Join(volume.Spec.HostPath.Path, "link")); err != nil {
		t.Fatal(err)
	}
	if err := p.Delete(context.Background(), volume); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(outside, "volumes", "pvc-1")); err != nil {
		t.Errorf("the target of the link is gone: %v", err)
	}
}

func TestWhatCannotBeProvisionedIsRefusedAndLeavesNothing(t *testing.T) {
	p, root := open(t)
	withSelector := options("node1", "pvc-1", corev1.ReadWriteOnce)
	withSelector.PVC.Spec.Selector = &metav1.LabelSelector{}
	for name, o := range map[string]controller.ProvisionOptions{
		"no node is selected":   options("", "pvc-1", corev1.ReadWriteOnce),
		"the node is dots":      options("..", "pvc-1", corev1.ReadWriteOnce),
		"the node is a path":    options("a/../../b", "pvc-1", corev1.ReadWriteOnce),
		"the volume is dots":    options("node1", "..", corev1.ReadWriteOnce),
		"the volume is a path":  options("node1", "../../etc", corev1.ReadWriteOnce),
		"the volume is empty":   options("node1", "", corev1.ReadWriteOnce),
		"many nodes shall read": options("node1", "pvc-1", corev1.ReadWriteMany),
		"a selector is given":   withSelector,
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := p.Provision(context.Background(), o); err == nil {
				t.Error("accepted")
			}
		})
	}
	if entries, err := os.ReadDir(root); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}

func TestTheCheckFailsWhenTheRootIsGone(t *testing.T) {
	p, root := open(t)
	if err := p.Check(); err != nil {
		t.Errorf("the root is there: %v", err)
	}
	if err := os.Remove(root); err != nil {
		t.Fatal(err)
	}
	if err := p.Check(); err == nil {
		t.Error("the root is gone, and the check passed")
	}
}

func TestTheRootOfTheMachineIsNoPlaceForVolumes(t *testing.T) {
	if _, err := Open("/tmp/.."); err == nil {
		t.Error("accepted")
	}
}

func tree(t *testing.T, root string) string {
	t.Helper()
	var lines strings.Builder
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		lines.WriteString(path + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines.String()
}
