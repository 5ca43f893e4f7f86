{{/* Flags for the NATS cluster. */}}
{{- define "postrider.natsArgs" -}}
{{- $nats := .Values.dispatcher.nats -}}
- --nats-url={{ join "," $nats.urls }}
- --nats-replicas={{ $nats.replicas }}
{{- if $nats.existingSecret }}
{{- if eq $nats.credentials "creds" }}
- --nats-creds=/etc/postrider/nats/nats.creds
{{- else if eq $nats.credentials "user" }}
- --nats-user-file=/etc/postrider/nats/username
- --nats-password-file=/etc/postrider/nats/password
{{- else }}
- --nats-token-file=/etc/postrider/nats/token
{{- end }}
{{- end }}
{{- if $nats.caSecret }}
- --nats-ca=/etc/postrider/nats/ca.crt
{{- end }}
{{- if $nats.certificateSecret }}
- --nats-cert=/etc/postrider/nats/tls.crt
- --nats-key=/etc/postrider/nats/tls.key
{{- end }}
{{- if $nats.plaintext }}
- --nats-plaintext
{{- end }}
{{- end -}}

{{/* Sources of the volume with what proves us to the NATS cluster, and it to us; empty for none. */}}
{{- define "postrider.natsSources" -}}
{{- $nats := .Values.dispatcher.nats -}}
{{- if $nats.urls }}
{{- with $nats.existingSecret }}
- secret:
    name: {{ . | quote }}
    items:
      {{- range get (dict "creds" (list "nats.creds") "user" (list "username" "password") "token" (list "token")) $nats.credentials }}
      - key: {{ . }}
        path: {{ . }}
      {{- end }}
{{- end }}
{{- with $nats.caSecret }}
- secret:
    name: {{ . | quote }}
    items:
      - key: ca.crt
        path: ca.crt
{{- end }}
{{- with $nats.certificateSecret }}
- secret:
    name: {{ . | quote }}
    items:
      - key: tls.crt
        path: tls.crt
      - key: tls.key
        path: tls.key
{{- end }}
{{- end }}
{{- end -}}
