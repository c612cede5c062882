{{/* A value as the command line writes it: whole numbers of a values file are floats here, and 123456789012 would
     become 1.23456789012e+11. */}}
{{- define "kube2iam.word" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{/* The flags of extraArgs, one argument each. */}}
{{- define "kube2iam.extraArgs" -}}
{{- range $name, $value := .Values.extraArgs }}
{{- if kindIs "slice" $value }}
{{- range $value }}
- {{ printf "--%s=%s" $name (include "kube2iam.word" .) | quote }}
{{- end }}
{{- else if or (kindIs "invalid" $value) (eq (toString $value) "") }}
- {{ printf "--%s" $name | quote }}
{{- else }}
- {{ printf "--%s=%s" $name (include "kube2iam.word" $value) | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* "yes" if extraArgs turn the flag on. Called with (list . "flag"). */}}
{{- define "kube2iam.asks" -}}
{{- $given := (index . 0).Values.extraArgs | default dict -}}
{{- $flag := index . 1 -}}
{{- if and (hasKey $given $flag) (ne (toString (get $given $flag)) "false") }}yes{{ end }}
{{- end }}

{{/* Where the role's base ARN comes from, unless extraArgs say. */}}
{{- define "kube2iam.baseArn" -}}
{{- $given := .Values.extraArgs | default dict -}}
{{- if not (or (get $given "base-role-arn") (hasKey $given "auto-discover-base-arn")) }}--auto-discover-base-arn{{ end }}
{{- end }}

{{/* Names of interfaces as the one word that --host-interface takes. */}}
{{- define "kube2iam.interfaces" -}}
{{- if kindIs "slice" .Values.host.interface }}{{ join "," .Values.host.interface }}{{ else }}{{ .Values.host.interface | default "" }}{{ end }}
{{- end }}

{{/* "yes" if pods may show a token. Values of an older release may lack `containerCredentials`. */}}
{{- define "kube2iam.tokens" -}}
{{- if or (.Values.containerCredentials | default dict).enabled (include "kube2iam.asks" (list . "container-credentials")) }}yes{{ end }}
{{- end }}

{{/* "yes" if the agent needs NET_ADMIN: for the redirect, or for the address of container credentials. */}}
{{- define "kube2iam.netAdmin" -}}
{{- if or .Values.host.iptables (include "kube2iam.tokens" .) }}yes{{ end }}
{{- end }}

{{- define "kube2iam.stateDir" -}}
{{- if hasKey .Values "stateDir" }}{{ .Values.stateDir }}{{ else }}/run/kube2iam{{ end }}
{{- end }}

{{- define "kube2iam.secret" -}}
{{- if .Values.existingSecret }}{{ .Values.existingSecret }}
{{- else if and .Values.aws.access_key .Values.aws.secret_key }}{{ include "kube2iam.fullname" . }}
{{- end }}
{{- end }}
