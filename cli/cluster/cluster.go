// Package cluster is what the kubectl plugin gets from the API server, with the
// rights of its user: the custom resources, a token to show to a dispatcher, a way
// there, and what a look at the health of an installation needs.
package cluster

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/discovery"
	appsclient "k8s.io/client-go/kubernetes/typed/apps/v1"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/postrider/postrider/api/v1alpha1"
)

// The names of an installation, as the chart and config/ give them.
const (
	// EventsService is the Service whose pods take events and calls.
	EventsService = "postrider-events"
	// AuthorityConfigMap holds, as ca.crt, what dispatchers' certificates are verified by.
	AuthorityConfigMap = "postrider-ca"
	// ManagerDeployment is the one of the manager.
	ManagerDeployment = "postrider-manager"
	// DispatcherDeployment is the one of the dispatchers.
	DispatcherDeployment = "postrider-dispatcher"

	authorityKey = "ca.crt"
)

// A Cluster is one API server and its user. What it cannot do is an error that says
// what to do, [Lack] where commands can.
type Cluster struct {
	config         *rest.Config
	resources      rest.Interface         // of postrider.dev
	parameters     runtime.ParameterCodec // of its lists
	core           coreclient.CoreV1Interface
	apps           appsclient.AppsV1Interface
	authentication authenticationclient.AuthenticationV1Interface
	authorization  authorizationclient.AuthorizationV1Interface
	discovery      discovery.DiscoveryInterface
}

// burst is how many requests may go at once: a look at the health of all makes some dozens.
const burst = 100

// New makes a Cluster. It asks nothing yet.
func New(config *rest.Config) (*Cluster, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = burst, burst
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	resources, err := newResources(config, scheme)
	if err != nil {
		return nil, fmt.Errorf("making a client of the API server: %w", err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of the API server: %w", err)
	}
	c := &Cluster{config: config, resources: resources, parameters: runtime.NewParameterCodec(scheme)}
	if c.core, err = coreclient.NewForConfigAndClient(config, client); err != nil {
		return nil, err
	}
	if c.apps, err = appsclient.NewForConfigAndClient(config, client); err != nil {
		return nil, err
	}
	if c.authentication, err = authenticationclient.NewForConfigAndClient(config, client); err != nil {
		return nil, err
	}
	if c.authorization, err = authorizationclient.NewForConfigAndClient(config, client); err != nil {
		return nil, err
	}
	c.discovery, err = discovery.NewDiscoveryClientForConfigAndClient(config, client)
	return c, err
}

// newResources makes a client of the custom resources.
func newResources(config *rest.Config, scheme *runtime.Scheme) (rest.Interface, error) {
	config = rest.CopyConfig(config)
	config.GroupVersion = &v1alpha1.GroupVersion
	config.APIPath = "/apis"
	config.ContentConfig = rest.ContentConfig{
		GroupVersion: config.GroupVersion, NegotiatedSerializer: serializer.NewCodecFactory(scheme).WithoutConversion(),
	}
	return rest.RESTClientFor(config)
}
