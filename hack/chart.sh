#!/usr/bin/env bash
# Makes what the chart and the kustomizations share and neither can read from the
# other: a chart is packed alone, and a kustomization reads below its own folder.
set -euo pipefail
cd "$(dirname "$0")/.."
files=charts/postrider/files

rm -rf $files/crds $files/rbac
mkdir -p $files/crds $files/rbac
cp config/crd/bases/*.yaml $files/crds
cp config/rbac/role.yaml config/rbac/*_role.yaml config/rbac/ca_reader.yaml $files/rbac

cp $files/dashboard.json config/grafana/dashboard.json
{
	cat <<-END
		# Made by make generate of $files/alerts.yaml, where the rules are written.
		apiVersion: monitoring.coreos.com/v1
		kind: PrometheusRule
		metadata:
		  name: postrider
		  namespace: postrider-system
		  labels:
		    app.kubernetes.io/name: postrider
		spec:
	END
	sed 's/^\(.\)/  \1/' $files/alerts.yaml
} >config/prometheus/rules.yaml
