package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const (
	// volumesProcess is the command of the component that makes volumes.
	volumesProcess = "volumes"
	provisioner    = "postrider.dev/node-folder"
	provisionedBy  = "pv.kubernetes.io/provisioned-by"
)

// provideVolumes makes a folder of the node into a volume for each claim of the
// storage class, and removes it once the claim is gone. The volumes are of the
// kind "local", not "hostPath": the kubelet gives those to the pod's fsGroup.
func provideVolumes(ctx context.Context) error {
	ctrl.SetLogger(logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, nil)))
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig("volumes"))
	if err != nil {
		return err
	}
	m, err := ctrl.NewManager(config, ctrl.Options{Metrics: metricsserver.Options{BindAddress: "0"}})
	if err != nil {
		return err
	}
	v := volumes{m.GetClient()}
	if err := ctrl.NewControllerManagedBy(m).For(&corev1.PersistentVolumeClaim{}).Complete(reconcileFunc(v.provide)); err != nil {
		return err
	}
	if err := ctrl.NewControllerManagedBy(m).For(&corev1.PersistentVolume{}).Complete(reconcileFunc(v.release)); err != nil {
		return err
	}
	return m.Start(ctx)
}

type reconcileFunc func(context.Context, client.ObjectKey) error

// Reconcile calls f with the name of the object.
func (f reconcileFunc) Reconcile(ctx context.Context, r ctrl.Request) (ctrl.Result, error) {
	return ctrl.Result{}, f(ctx, r.NamespacedName)
}

type volumes struct{ client.Client }

// provide makes a volume that only this claim can take; Kubernetes binds them.
func (v volumes) provide(ctx context.Context, name client.ObjectKey) error {
	var claim corev1.PersistentVolumeClaim
	if err := v.Get(ctx, name, &claim); err != nil {
		return client.IgnoreNotFound(err)
	}
	if claim.Spec.StorageClassName == nil || *claim.Spec.StorageClassName != storageClass || claim.Spec.VolumeName != "" || claim.DeletionTimestamp != nil {
		return nil
	}
	volume := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pvc-" + string(claim.UID), Annotations: map[string]string{provisionedBy: provisioner}},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName:              storageClass,
			AccessModes:                   claim.Spec.AccessModes,
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: *claim.Spec.Resources.Requests.Storage()},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			ClaimRef:                      &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{nodeName}}},
			}}}},
		},
	}
	folder := volumeFolder(volume.Name)
	volume.Spec.Local = &corev1.LocalVolumeSource{Path: folder}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := v.Create(ctx, volume); client.IgnoreAlreadyExists(err) != nil {
		return fmt.Errorf("making volume %s: %w", volume.Name, err)
	}
	return nil
}

// release removes a volume whose claim is gone, and what it holds.
func (v volumes) release(ctx context.Context, name client.ObjectKey) error {
	var volume corev1.PersistentVolume
	if err := v.Get(ctx, name, &volume); err != nil {
		return client.IgnoreNotFound(err)
	}
	if volume.Annotations[provisionedBy] != provisioner || volume.Status.Phase != corev1.VolumeReleased ||
		volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		return nil
	}
	if err := os.RemoveAll(volumeFolder(volume.Name)); err != nil {
		return err
	}
	return client.IgnoreNotFound(v.Delete(ctx, &volume))
}

func volumeFolder(name string) string { return filepath.Join(inside, "volumes", name) }
