"""Types of IstioOperator and of the charts' values, in the notation of ``types``; as istioctl reads them (1.31)."""

INSTALLATION = """
IstioOperator
  profile: str
  installPackagePath: str
  hub: str
  tag: raw
  namespace: str
  revision: str
  compatibilityVersion: str
  meshConfig: MeshConfig
  components: Components
  values: InstallValues
  unvalidatedValues: raw
Components
  base: BaseComponent
  pilot: Component
  cni: Component
  ztunnel: Component
  istiodRemote: Component
  ingressGateways: [GatewayComponent]
  egressGateways: [GatewayComponent]
BaseComponent
  enabled: bool
  k8s: ComponentResources
Component
  enabled: bool
  namespace: str
  hub: str
  tag: raw
  k8s: ComponentResources
GatewayComponent
  enabled: bool
  namespace: str
  hub: str
  tag: raw
  k8s: ComponentResources
  name: str
  label: {str}
ComponentResources
  affinity: any
  env: [any]
  hpaSpec: Autoscaling
  imagePullPolicy: str
  nodeSelector: {str}
  podDisruptionBudget: any
  podAnnotations: {str}
  priorityClassName: str
  readinessProbe: any
  replicaCount: int(0..)
  resources: any
  service: any
  strategy: any
  tolerations: [any]
  serviceAnnotations: {str}
  securityContext: any
  volumes: [any]
  volumeMounts: [any]
  overlays: [Overlay]
Autoscaling open
  minReplicas: int
  maxReplicas: int
Overlay
  apiVersion: str
  kind: str
  name: str
  patches: [OverlayPatch]
OverlayPatch
  path: str
  value: raw
ValuesArchConfig
  amd64: int(0..)
  ppc64le: int(0..)
  s390x: int(0..)
  arm64: int(0..)
ValuesCNIConfig
  enabled: bool
  hub: str
  tag: raw
  variant: str
  image: str
  pullPolicy: str
  cniBinDir: str
  cniConfDir: str
  cniConfFileName: str
  cniNetnsDir: str
  excludeNamespaces: [str]
  affinity: any
  env: any
  daemonSetLabels: any
  podAnnotations: any
  podLabels: any
  pspClusterRole: str
  logLevel: str
  logging: ValuesGlobalLoggingConfig
  repair: ValuesCNIRepairConfig
  chained: bool
  resourceQuotas: ValuesResourceQuotas
  resources: ValuesResources
  privileged: bool
  seccompProfile: any
  ambient: ValuesCNIAmbientConfig
  provider: str
  rollingMaxUnavailable: intstr
  istioOwnedCNIConfig: bool
  istioOwnedCNIConfigFileName: str
  useAppArmorAnnotation: bool
ValuesCNIUsageConfig
  enabled: bool
  chained: bool
  provider: str
ValuesCNIAmbientConfig
  enabled: bool
  configDir: str
  dnsCapture: bool
  ipv6: bool
  reconcileIptablesOnStartup: bool
ValuesCNIRepairConfig
  enabled: bool
  hub: str
  tag: raw
  image: str
  labelPods: bool
  repairPods: bool
  createEvents: str
  deletePods: bool
  brokenPodLabelKey: str
  brokenPodLabelValue: str
  initContainerName: str
ValuesResourceQuotas
  enabled: bool
  pods: int
ValuesTargetUtilizationConfig
  targetAverageUtilization: int
ValuesResources
  limits: {str}
  requests: {str}
ValuesServiceAccount
  annotations: any
ValuesDefaultPodDisruptionBudgetConfig
  enabled: bool
ValuesDefaultResourcesConfig
  requests: ValuesResourcesRequestsConfig
ValuesEgressGatewayConfig
  autoscaleEnabled: bool
  autoscaleMax: int(0..)
  autoscaleMin: int(0..)
  memory: ValuesTargetUtilizationConfig
  cpu: ValuesTargetUtilizationConfig
  customService: bool
  enabled: bool
  env: any
  labels: {str}
  name: str
  nodeSelector: any
  podAnnotations: any
  podAntiAffinityLabelSelector: [any]
  podAntiAffinityTermLabelSelector: [any]
  ports: [ValuesPortsConfig]
  resources: ValuesResources
  secretVolumes: [ValuesSecretVolume]
  serviceAnnotations: any
  type: str
  tolerations: [any]
  rollingMaxSurge: intstr
  rollingMaxUnavailable: intstr
  configVolumes: [any]
  additionalContainers: [any]
  runAsRoot: bool
  injectionTemplate: str
  serviceAccount: ValuesServiceAccount
  ipFamilies: [str]
  ipFamilyPolicy: str
ValuesGatewaysConfig
  istio-egressgateway: ValuesEgressGatewayConfig
  enabled: bool
  istio-ingressgateway: ValuesIngressGatewayConfig
  securityContext: raw
  seccompProfile: raw
ValuesGlobalConfig
  arch: ValuesArchConfig
  certSigners: [str]
  configValidation: bool
  defaultNodeSelector: any
  defaultPodDisruptionBudget: ValuesDefaultPodDisruptionBudgetConfig
  defaultResources: ValuesDefaultResourcesConfig
  defaultTolerations: [any]
  hub: str
  imagePullPolicy: str
  imagePullSecrets: [str]
  istioNamespace: str
  logAsJson: bool
  logging: ValuesGlobalLoggingConfig
  meshID: str
  meshNetworks: any
  multiCluster: ValuesMultiClusterConfig
  network: str
  podDNSSearchNamespaces: [str]
  omitSidecarInjectorConfigMap: bool
  operatorManageWebhooks: bool
  priorityClassName: str
  proxy: ValuesProxyConfig
  proxy_init: ValuesProxyInitConfig
  sds: ValuesSDSConfig
  tag: raw
  variant: str
  tracer: ValuesTracerConfig
  remotePilotAddress: str
  istiod: ValuesIstiodConfig
  pilotCertProvider: str
  jwtPolicy: str
  sts: ValuesSTSConfig
  revision: str
  mountMtlsCerts: bool
  caAddress: str
  externalIstiod: bool
  configCluster: bool
  caName: str
  platform: str
  ipFamilies: [str]
  ipFamilyPolicy: str
  waypoint: ValuesWaypointConfig
  trustBundleName: str
  nativeNftables: bool
  networkPolicy: ValuesNetworkPolicyConfig
  resourceScope: enum(undefined all cluster namespace)
  agentgateway: ValuesAgentgateway
  enableReaderRBAC: bool
  readerServiceAccount: ValuesReaderServiceAccount
ValuesAgentgateway
  image: str
ValuesReaderServiceAccount
  name: str
  namespace: str
ValuesSTSConfig
  servicePort: int(0..)
ValuesIstiodConfig
  enableAnalysis: bool
ValuesGlobalLoggingConfig
  level: str
ValuesIngressGatewayConfig
  autoscaleEnabled: bool
  autoscaleMax: int(0..)
  autoscaleMin: int(0..)
  memory: ValuesTargetUtilizationConfig
  cpu: ValuesTargetUtilizationConfig
  customService: bool
  enabled: bool
  env: any
  labels: {str}
  loadBalancerIP: str
  loadBalancerSourceRanges: [str]
  name: str
  nodeSelector: any
  podAnnotations: any
  podAntiAffinityLabelSelector: [any]
  podAntiAffinityTermLabelSelector: [any]
  ports: [ValuesPortsConfig]
  replicaCount: int(0..)
  resources: any
  secretVolumes: [ValuesSecretVolume]
  serviceAnnotations: any
  type: str
  rollingMaxSurge: intstr
  rollingMaxUnavailable: intstr
  externalTrafficPolicy: str
  tolerations: [any]
  ingressPorts: [any]
  additionalContainers: [any]
  configVolumes: [any]
  runAsRoot: bool
  injectionTemplate: str
  serviceAccount: ValuesServiceAccount
  ipFamilies: [str]
  ipFamilyPolicy: str
ValuesMultiClusterConfig
  enabled: bool
  clusterName: str
  globalDomainSuffix: str
  includeEnvoyFilter: bool
ValuesOutboundTrafficPolicyConfig
  mode: enum(ALLOW_ANY REGISTRY_ONLY)
ValuesPilotConfig
  enabled: bool
  autoscaleEnabled: bool
  autoscaleMin: int(0..)
  autoscaleMax: int(0..)
  autoscaleBehavior: any
  replicaCount: int(0..)
  image: str
  traceSampling: num
  resources: ValuesResources
  cpu: ValuesTargetUtilizationConfig
  nodeSelector: any
  keepaliveMaxServerConnectionAge: seconds
  deploymentLabels: any
  podLabels: any
  configMap: bool
  env: any
  affinity: any
  rollingMaxSurge: intstr
  rollingMaxUnavailable: intstr
  tolerations: [any]
  podAnnotations: any
  serviceAnnotations: any
  serviceAccountAnnotations: any
  jwksResolverExtraRootCA: str
  hub: str
  tag: raw
  variant: str
  seccompProfile: any
  topologySpreadConstraints: [any]
  extraContainerArgs: [any]
  volumeMounts: [any]
  volumes: [any]
  ipFamilies: [str]
  ipFamilyPolicy: str
  memory: ValuesTargetUtilizationConfig
  cni: ValuesCNIUsageConfig
  taint: ValuesPilotTaintControllerConfig
  trustedZtunnelNamespace: str
  istiodRemote: ValuesIstiodRemoteConfig
  envVarFrom: [any]
  crlConfigMapName: str
ValuesPilotTaintControllerConfig
  enabled: bool
  namespace: str
  name: str
ValuesPilotIngressConfig
  ingressService: str
  ingressControllerMode: enum(UNSPECIFIED DEFAULT STRICT OFF)
  ingressClass: str
ValuesPilotPolicyConfig
  enabled: bool
ValuesTelemetryConfig
  enabled: bool
  v2: ValuesTelemetryV2Config
ValuesTelemetryV2Config
  enabled: bool
  prometheus: ValuesTelemetryV2PrometheusConfig
  stackdriver: ValuesTelemetryV2StackDriverConfig
ValuesTelemetryV2PrometheusConfig
  enabled: bool
ValuesTelemetryV2StackDriverConfig
  enabled: bool
ValuesPortsConfig
  name: str
  port: int
  nodePort: int
  targetPort: int
  protocol: str
ValuesProxyConfig
  autoInject: str
  clusterDomain: str
  componentLogLevel: str
  enableCoreDump: bool
  excludeInboundPorts: str
  excludeIPRanges: str
  image: str
  includeIPRanges: str
  logLevel: str
  outlierLogPath: str
  privileged: bool
  readinessInitialDelaySeconds: int(0..)
  readinessPeriodSeconds: int(0..)
  readinessFailureThreshold: int(0..)
  seccompProfile: any
  startupProbe: ValuesStartupProbe
  statusPort: int(0..)
  resources: ValuesResources
  tracer: enum(zipkin lightstep datadog stackdriver openCensusAgent none)
  excludeOutboundPorts: str
  lifecycle: any
  holdApplicationUntilProxyStarts: bool
  includeInboundPorts: str
  includeOutboundPorts: str
ValuesStartupProbe
  enabled: bool
  failureThreshold: int(0..)
ValuesProxyInitConfig
  image: str
  resources: ValuesResources
ValuesResourcesRequestsConfig
  cpu: str
  memory: str
ValuesSDSConfig
  token: any
ValuesSecretVolume
  mountPath: str
  name: str
  secretName: str
ValuesSidecarInjectorConfig
  enableNamespacesByDefault: bool
  reinvocationPolicy: str
  neverInjectSelector: [any]
  alwaysInjectSelector: [any]
  rewriteAppHTTPProbe: bool
  injectedAnnotations: any
  injectionURL: str
  templates: any
  defaultTemplates: [str]
ValuesTracerConfig
  datadog: ValuesTracerDatadogConfig
  lightstep: ValuesTracerLightStepConfig
  zipkin: ValuesTracerZipkinConfig
  stackdriver: ValuesTracerStackdriverConfig
ValuesTracerDatadogConfig
  address: str
ValuesTracerLightStepConfig
  address: str
  accessToken: str
ValuesTracerZipkinConfig
  address: str
ValuesTracerStackdriverConfig
  debug: bool
  maxNumberOfAttributes: int(0..)
  maxNumberOfAnnotations: int(0..)
  maxNumberOfMessageEvents: int(0..)
ValuesBaseConfig
  enableCRDTemplates: bool
  excludedCRDs: [str]
  validationURL: str
  enableIstioConfigCRDs: bool
  validateGateway: bool
  validationCABundle: str
ValuesIstiodRemoteConfig
  injectionURL: str
  injectionPath: str
  injectionCABundle: str
  enabled: bool
  enabledLocalInjectorIstiod: bool
InstallValues
  cni: ValuesCNIConfig
  gateways: ValuesGatewaysConfig
  global: ValuesGlobalConfig
  pilot: ValuesPilotConfig
  ztunnel: raw
  telemetry: ValuesTelemetryConfig
  sidecarInjectorWebhook: ValuesSidecarInjectorConfig
  istio_cni: ValuesCNIUsageConfig
  istioCni: ValuesCNIUsageConfig
  revision: str
  ownerName: str
  meshConfig: MeshConfig
  base: ValuesBaseConfig
  istiodRemote: ValuesIstiodRemoteConfig
  revisionTags: [str]
  defaultRevision: str
  profile: str
  compatibilityVersion: str
  experimental: ValuesExperimentalConfig
  gatewayClasses: raw
ValuesExperimentalConfig
  stableValidationPolicy: bool
ValuesWaypointConfig
  resources: ValuesResources
  affinity: any
  topologySpreadConstraints: [any]
  nodeSelector: any
  toleration: [any]
ValuesNetworkPolicyConfig
  enabled: bool
"""
