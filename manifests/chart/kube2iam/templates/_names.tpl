{{/* Names and labels are those of kube2iam's chart: a DaemonSet's selector can't be changed by an upgrade. */}}
{{- define "kube2iam.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "kube2iam.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary $name (printf "%s-%s" .Release.Name $name) (eq $name .Release.Name) -}}
{{ default $full .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "kube2iam.selector" -}}
app.kubernetes.io/name: {{ include "kube2iam.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* The recommended labels that never change: the pods have them too. */}}
{{- define "kube2iam.parts" -}}
app.kubernetes.io/component: agent
app.kubernetes.io/part-of: kube2iam
{{- end }}

{{- define "kube2iam.labels" -}}
{{ include "kube2iam.selector" . }}
{{ include "kube2iam.parts" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* "yes" if this chart makes the account. Values of an older release may lack `serviceAccount`: that means yes. */}}
{{- define "kube2iam.ownAccount" -}}
{{- if and .Values.rbac.create (dig "create" true (.Values.serviceAccount | default dict)) }}yes{{ end }}
{{- end }}

{{- define "kube2iam.account" -}}
{{- $named := dig "name" "" (.Values.serviceAccount | default dict) -}}
{{- if include "kube2iam.ownAccount" . -}}
{{ default (include "kube2iam.fullname" .) $named }}
{{- else -}}
{{ default "default" (default .Values.rbac.serviceAccountName $named) }}
{{- end }}
{{- end }}

{{- define "kube2iam.image" -}}
{{- $repository := required "image.repository is empty: name the registry and repository that you pushed the image to, such as --set image.repository=registry.example.com/kube2iam" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{ printf "%s@%s" $repository .Values.image.digest }}
{{- else -}}
{{ printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion | toString) }}
{{- end }}
{{- end }}

{{/* Entries of imagePullSecrets, each given as a name or as an object. */}}
{{- define "kube2iam.pullSecrets" -}}
{{- $global := (.Values.global | default dict).imagePullSecrets | default list -}}
{{- $names := list -}}
{{- range concat $global (.Values.image.pullSecrets | default list) -}}
{{- if kindIs "string" . -}}{{- $names = append $names . -}}{{- else -}}{{- $names = append $names .name -}}{{- end -}}
{{- end -}}
{{- range uniq $names }}
- name: {{ . | quote }}
{{- end }}
{{- end }}
