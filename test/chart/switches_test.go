package chart_test

// A setting is a way to install Postrider: the values of the chart for it and,
// where there are any, the components of config that do the same.
type setting struct {
	name       string
	values     string
	components []string
	chartOnly  bool // there are no components for it
}

// settings try every switch of the chart, alone or with those that it touches.
var settings = []setting{
	{name: "as it comes"},
	{name: "network policies", values: `{networkPolicy: {enabled: true}}`, components: []string{"network-policy"}},
	{name: "Prometheus", values: `{serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}}`, components: []string{"prometheus"}},
	{name: "Grafana", values: `{grafanaDashboard: {enabled: true}}`, components: []string{"grafana"}},
	{name: "plain HTTP", values: `{tls: {mode: "off"}}`, components: []string{"tls/off"}},
	{name: "plain HTTP with Prometheus", values: `{tls: {mode: off}, serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}}`, components: []string{"prometheus", "tls/off"}},
	{name: "a certificate of yours", values: `{tls: {mode: existingSecret, existingSecret: postrider-dispatcher-tls}}`, components: []string{"tls/existing-secret"}},
	{name: "cert-manager with Prometheus", values: `{tls: {mode: certManager}, serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}}`, components: []string{"prometheus", "tls/cert-manager"}},
	{name: "a NATS cluster", values: natsValues + `}}`, components: []string{"nats"}},
	{name: "a NATS cluster and plain HTTP", values: natsValues + `}, tls: {mode: "off"}}`, components: []string{"nats", "tls/off"}},
	{name: "as many dispatchers as needed", values: natsValues + `, autoscaling: {enabled: true}}}`, components: []string{"nats", "autoscaling"}},
	{
		name:       "all at once",
		values:     natsValues + `, autoscaling: {enabled: true}}, tls: {mode: certManager}, networkPolicy: {enabled: true}, serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}, grafanaDashboard: {enabled: true}}`,
		components: []string{"nats", "autoscaling", "network-policy", "prometheus", "grafana", "tls/cert-manager"},
	},

	{name: "an issuer of yours", chartOnly: true, values: `{clusterDomain: example.local, tls: {mode: certManager, certManager: {issuerRef: {name: ours, kind: ClusterIssuer, group: cert-manager.io}, duration: 48h, renewBefore: 16h}}}`},
	{name: "images from a mirror", chartOnly: true, values: `
image: {registry: registry.example.com:5000/mirror/, pullPolicy: Always, pullSecrets: [mirror]}
manager: {image: {repository: ours/manager, tag: v9}}
dispatcher: {image: {digest: "sha256:` + digest + `"}}
`},
	{name: "everything about pods", chartOnly: true, values: `
manager: &pods
  replicas: 2
  logLevel: debug
  resources: {requests: {cpu: 1, memory: 1Gi}, limits: {cpu: 2, memory: 2Gi}}
  extraEnv: [{name: GOGC, value: "50"}]
  serviceAccountAnnotations: {example.com/identity: postrider}
  podAnnotations: {example.com/sidecar: "false"}
  podLabels: {example.com/team: hooks}
  priorityClassName: system-cluster-critical
  nodeSelector: {kubernetes.io/os: linux}
  tolerations: [{key: example.com/dedicated, operator: Exists, effect: NoSchedule}]
  affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: kubernetes.io/hostname}}]}}
dispatcher:
  <<: *pods
  replicas: 1
  topologySpreadConstraints: [{topologyKey: example.com/rack, maxSkew: 1, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app.kubernetes.io/component: dispatcher}}}]
  extraArgs: [--retention=48h]
`},
	{name: "another store", chartOnly: true, values: `{dispatcher: {store: {size: 1Ti, storageClass: fast, keep: true, maxBytes: 879609302220, sync: interval}}}`},
	{name: "a volume of yours", chartOnly: true, values: `{dispatcher: {store: {existingClaim: ours}}}`},
	{name: "NATS by user and certificate", chartOnly: true, values: `{dispatcher: {nats: {urls: ["tls://a:4222"], replicas: 5, existingSecret: nats-login, credentials: user, caSecret: ca, certificateSecret: c}}}`},
	{name: "NATS by token, in plain text", chartOnly: true, values: `{dispatcher: {nats: {urls: ["nats://a:4222"], replicas: 1, existingSecret: nats-login, credentials: token, plaintext: true}}}`},
	{name: "NATS without credentials", chartOnly: true, values: `{dispatcher: {nats: {urls: ["nats://a:4222"]}}}`},
	{name: "what dispatchers do", chartOnly: true, values: `
dispatcher:
  sitecoreCheck: pass
  validationBudget: 20s
  egressAllowCIDRs: [10.20.0.0/16, "fd00::/8"]
  metricsPerWebhook: false
  tracing: {enabled: true, endpoint: "http://collector.observability:4318"}
  service: {type: LoadBalancer, annotations: {example.com/internal: "true"}}
`},
	{name: "fewer rights", chartOnly: true, values: `{signingKeys: {clusterWide: false}, aggregateRoles: false, podDisruptionBudget: {enabled: false}}`},
	{name: "tokens of accounts", chartOnly: true, values: `{serviceAccountTokens: {grants: [{namespace: default, serviceAccounts: [sender, reviewer]}]}}`},
	{name: "tokens of accounts, twice in a namespace", chartOnly: true, values: `{serviceAccountTokens: {grants: [{namespace: default, serviceAccounts: [sender]}, {namespace: default, serviceAccounts: [sender, reviewer]}]}}`},
	{name: "names that YAML takes for something else", chartOnly: true, values: `
image: {pullSecrets: ["1"]}
tls: {mode: existingSecret, existingSecret: "no"}
dispatcher: {store: {storageClass: "12"}, image: {repository: "registry.example.com:5000/ours"}}
serviceMonitor: {enabled: true}
`},
	{name: "such names for NATS", chartOnly: true, values: `{dispatcher: {nats: {urls: ["tls://a:4222"], existingSecret: "1", caSecret: "2", certificateSecret: "3"}}}`},
	{name: "such a name for a volume", chartOnly: true, values: `{dispatcher: {store: {existingClaim: "1"}}}`},
	{name: "stricter network policies", chartOnly: true, values: `
networkPolicy:
  enabled: true
  producers: [{namespaceSelector: {matchLabels: {example.com/producers: "true"}}}]
  monitoring: []
  apiServerPorts: [16443]
  dispatcherEgress: [{ports: [{port: 443, protocol: TCP}]}]
`},
	{name: "labels for monitoring", chartOnly: true, values: `
serviceMonitor: {enabled: true, interval: 10s, labels: {release: prometheus}}
prometheusRule: {enabled: true, labels: {release: prometheus}}
grafanaDashboard: {enabled: true, labels: {dashboards: all}}
`},
	{name: "another name", chartOnly: true, values: `{nameOverride: hooks, tls: {mode: certManager}, networkPolicy: {enabled: true}, serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}, grafanaDashboard: {enabled: true}}`},
	{name: "no CRDs", chartOnly: true, values: `{crds: {install: false}}`},
	{name: "CRDs that go", chartOnly: true, values: `{crds: {keep: false}}`},
}

// natsValues are those of the component nats; two braces stay open.
const natsValues = `{dispatcher: {replicas: 2, nats: {urls: ["tls://nats-0.nats:4222", "tls://nats-1.nats:4222", "tls://nats-2.nats:4222"], existingSecret: postrider-nats, caSecret: postrider-nats}`

const digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
