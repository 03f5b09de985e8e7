package bootstrap

import (
	"reflect"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 1, time.UTC)

func decoded(t *testing.T) map[string]runtime.Object {
	t.Helper()
	entries, err := Entries(noon)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]runtime.Object{}
	for _, entry := range entries {
		object, _, err := scheme.Codecs.UniversalDeserializer().Decode(entry.Value, nil, nil)
		if err != nil {
			t.Fatalf("%s: %v", entry.Key, err)
		}
		if all[entry.Key] != nil {
			t.Errorf("%s is there twice", entry.Key)
		}
		all[entry.Key] = object
	}
	return all
}

func TestEveryObjectIsReadAsWhatItsKeySays(t *testing.T) {
	all := decoded(t)
	for key, want := range map[string]runtime.Object{
		"/registry/namespaces/kube-system":                                      &corev1.Namespace{},
		"/registry/serviceaccounts/default/default":                             &corev1.ServiceAccount{},
		"/registry/clusterroles/cluster-admin":                                  &rbacv1.ClusterRole{},
		"/registry/clusterroles/system:controller:job-controller":               &rbacv1.ClusterRole{},
		"/registry/clusterrolebindings/cluster-admin":                           &rbacv1.ClusterRoleBinding{},
		"/registry/roles/kube-system/extension-apiserver-authentication-reader": &rbacv1.Role{},
	} {
		found, err := meta.Accessor(all[key])
		if err != nil {
			t.Errorf("%s is missing", key)
			continue
		}
		if got, want := reflect.TypeOf(all[key]), reflect.TypeOf(want); got != want {
			t.Errorf("%s is a %v and not a %v", key, got, want)
		}
		if found.GetUID() == "" {
			t.Errorf("%s has no identity", key)
		}
		if !found.GetCreationTimestamp().Time.Equal(noon.Truncate(time.Second)) {
			t.Errorf("%s was made at %s", key, found.GetCreationTimestamp())
		}
	}
}

func TestNoTwoObjectsOfAnyClustersShareAnIdentity(t *testing.T) {
	seen := map[string]string{}
	for range 2 {
		for key, object := range decoded(t) {
			found, err := meta.Accessor(object)
			if err != nil {
				t.Fatal(err)
			}
			if other := seen[string(found.GetUID())]; other != "" {
				t.Errorf("%s and %s share an identity", key, other)
			}
			seen[string(found.GetUID())] = key
		}
	}
}

func TestOnlyAFileThatDoesNotExistYetIsANewStore(t *testing.T) {
	file := "--endpoint=sqlite:///data/state.db?_journal=WAL&cache=shared"
	socket := "--listen-address=unix:///data/kine.sock"
	for name, c := range map[string]struct {
		arguments []string
		there     bool
		want      bool
	}{
		"new file":        {[]string{file, socket}, false, true},
		"flags in words":  {[]string{"--endpoint", "sqlite:///data/state.db", "--listen-address", "unix:///s"}, false, true},
		"file is there":   {[]string{file, socket}, true, false},
		"other database":  {[]string{"--endpoint=postgres://db/kine", socket}, false, false},
		"kine's default":  {[]string{socket}, false, false},
		"not by a socket": {[]string{file, "--listen-address=0.0.0.0:2379"}, false, false},
		"memory, no file": {[]string{"--endpoint=sqlite://?mode=memory", socket}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			asked := ""
			_, isNew := IsNew(c.arguments, func(path string) bool { asked = path; return c.there })
			if isNew != c.want {
				t.Errorf("new: %v", isNew)
			}
			if c.want && asked != "/data/state.db" {
				t.Errorf("looked for %q", asked)
			}
		})
	}
}
