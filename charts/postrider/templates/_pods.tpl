{{/* Reference of an image: (list $ .Values.manager.image). */}}
{{- define "postrider.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- with $root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end -}}
{{- end -}}

{{/* Labels and annotations of pods: (list $ "manager" .Values.manager). */}}
{{- define "postrider.podMetadata" -}}
{{- $component := index . 1 -}}
{{- $values := index . 2 -}}
labels:
  {{- toYaml (merge (fromYaml (include "postrider.selector" .)) $values.podLabels) | nindent 2 }}
annotations:
  {{- toYaml (merge (dict "kubectl.kubernetes.io/default-container" $component) $values.podAnnotations) | nindent 2 }}
{{- end -}}

{{/* Where pods run: (list $ "manager" .Values.manager $several). */}}
{{- define "postrider.scheduling" -}}
{{- $root := index . 0 -}}
{{- $values := index . 2 -}}
{{- $several := index . 3 -}}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml $values.topologySpreadConstraints | nindent 2 }}
{{- else if $several }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash] # pods of one version among themselves
    labelSelector:
      matchLabels:
        {{- include "postrider.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Every container: nothing of the node, nothing to write, no privilege. */}}
{{- define "postrider.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
