{{/* What names begin with. */}}
{{- define "postrider.name" -}}
{{ .Values.nameOverride | default "postrider" }}
{{- end -}}

{{/* Labels that the chart adds to what every object has. */}}
{{- define "postrider.chartLabels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Labels by which pods are found: (list $ "manager"). */}}
{{- define "postrider.selector" -}}
app.kubernetes.io/name: postrider
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of an object of a component: (list $ "manager"). */}}
{{- define "postrider.labels" -}}
{{ include "postrider.selector" . }}
{{ include "postrider.chartLabels" (index . 0) }}
{{- end -}}

{{/* tls.mode: YAML reads off as false where it has no quotes. */}}
{{- define "postrider.tlsMode" -}}
{{ .Values.tls.mode | default "off" }}
{{- end -}}

{{/* The Secret with the dispatcher's certificate. */}}
{{- define "postrider.tlsSecret" -}}
{{- if eq (include "postrider.tlsMode" .) "existingSecret" -}}
{{ .Values.tls.existingSecret }}
{{- else -}}
{{ include "postrider.name" . }}-dispatcher-tls
{{- end -}}
{{- end -}}

{{/* https or http. */}}
{{- define "postrider.scheme" -}}
{{ eq (include "postrider.tlsMode" .) "off" | ternary "http" "https" }}
{{- end -}}
