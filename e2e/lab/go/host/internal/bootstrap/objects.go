// Package bootstrap puts into an empty store what an API server and a
// controller-manager write there at their first start. Both look for these
// objects before they make them, so a store that holds them already is ready
// sooner, and whatever is missing or different they put right.
package bootstrap

import (
	"fmt"
	"path"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes/scheme"
	scheduling "k8s.io/kubernetes/pkg/apis/scheduling/v1"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"
)

// namespaces are those that every API server makes.
var namespaces = []string{
	metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease, metav1.NamespaceDefault,
}

// Entry is one object as the API server stores it.
type Entry struct {
	Key   string
	Value []byte
}

// Entries are the objects of a new cluster: made now, with identifiers that no
// other cluster has.
func Entries(now time.Time) ([]Entry, error) {
	encoder := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	var entries []Entry
	for _, placed := range objects() {
		object := placed.object
		kinds, _, err := scheme.Scheme.ObjectKinds(object)
		if err != nil {
			return nil, err
		}
		object.GetObjectKind().SetGroupVersionKind(kinds[0])
		accessor, err := meta.Accessor(object)
		if err != nil {
			return nil, err
		}
		accessor.SetUID(uuid.NewUUID())
		accessor.SetCreationTimestamp(metav1.NewTime(now.Truncate(time.Second)))
		key := path.Join("/registry", placed.resource, accessor.GetNamespace(), accessor.GetName())
		value, err := runtime.Encode(encoder, object)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", key, err)
		}
		entries = append(entries, Entry{Key: key, Value: value})
	}
	return entries, nil
}

// placed is an object and the name that its kind has in the store's keys.
type placed struct {
	resource string
	object   runtime.Object
}

func objects() []placed {
	var all []placed
	for _, name := range namespaces {
		// What the API server defaults at creation is written out.
		all = append(all, placed{"namespaces", &corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelMetadataName: name}},
			Spec:       corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{corev1.FinalizerKubernetes}},
			Status:     corev1.NamespaceStatus{Phase: corev1.NamespaceActive},
		}}, placed{"serviceaccounts", &corev1.ServiceAccount{
			ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: name},
		}})
	}
	all = append(all, policies()...)
	for _, class := range scheduling.SystemPriorityClasses() {
		if class.PreemptionPolicy == nil {
			lower := corev1.PreemptLowerPriority
			class.PreemptionPolicy = &lower
		}
		// The first generation, as the strategy of the API server counts it.
		class.Generation = 1
		all = append(all, placed{"priorityclasses", class})
	}
	return all
}

func policies() []placed {
	var all []placed
	for _, role := range append(bootstrappolicy.ClusterRoles(), bootstrappolicy.ControllerRoles()...) {
		all = append(all, placed{"clusterroles", role.DeepCopy()})
	}
	for _, binding := range append(bootstrappolicy.ClusterRoleBindings(), bootstrappolicy.ControllerRoleBindings()...) {
		all = append(all, placed{"clusterrolebindings", binding.DeepCopy()})
	}
	for namespace, roles := range bootstrappolicy.NamespaceRoles() {
		for _, role := range roles {
			role.Namespace = namespace
			all = append(all, placed{"roles", role.DeepCopy()})
		}
	}
	for namespace, bindings := range bootstrappolicy.NamespaceRoleBindings() {
		for _, binding := range bindings {
			binding.Namespace = namespace
			all = append(all, placed{"rolebindings", binding.DeepCopy()})
		}
	}
	return all
}
