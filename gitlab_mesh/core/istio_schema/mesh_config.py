"""Types of the mesh's own configuration, in the notation of ``types``; facts from Istio's API reference (1.31)."""

MESH_CONFIG = """
MeshOutboundTrafficPolicy
  mode: enum(REGISTRY_ONLY ALLOW_ANY ALLOW_ANY_DYNAMIC_DNS)
  tls: ClientTLSSettings
MeshInboundTrafficPolicy
  mode: enum(PASSTHROUGH LOCALHOST)
MeshCertificateData
  pem: str
  spiffeBundleUrl: str
  certSigners: [str]
  trustDomains: [str]
  ! oneof pem spiffeBundleUrl
MeshServiceSettingsSettings
  clusterLocal: bool
MeshServiceSettings
  settings: MeshServiceSettingsSettings
  hosts: [str]
MeshServiceScopeConfigs
  namespaceSelector: MeshLabelSelector
  servicesSelector: MeshLabelSelector
  scope: enum(LOCAL GLOBAL)
MeshCA
  address: str
  tlsSettings: ClientTLSSettings
  requestTimeout: seconds
  istiodSide: bool
ExtAuthzRequestBody
  maxRequestBytes: int(0..)
  allowPartialMessage: bool
  packAsBytes: bool
ExtAuthzHttpProvider
  service: str
  port: int(0..)
  timeout: seconds
  pathPrefix: str
  failOpen: bool
  clearRouteCache: bool
  statusOnError: str
  includeHeadersInCheck: [str]
  includeRequestHeadersInCheck: [str]
  includeAdditionalHeadersInCheck: {str}
  includeRequestBodyInCheck: ExtAuthzRequestBody
  headersToUpstreamOnAllow: [str]
  headersToDownstreamOnDeny: [str]
  headersToDownstreamOnAllow: [str]
ExtAuthzGrpcProvider
  service: str
  port: int(0..)
  timeout: seconds
  failOpen: bool
  clearRouteCache: bool
  statusOnError: str
  includeRequestBodyInCheck: ExtAuthzRequestBody
ProviderZipkinTracingProvider
  service: str
  port: int(0..)
  maxTagLength: int(0..)
  enable64bitTraceId: bool
  path: str
  traceContextOption: enum(USE_B3 USE_B3_WITH_W3C_PROPAGATION)
  timeout: seconds
  headers: [ProviderHttpHeader]
ProviderLightstepTracingProvider
  service: str
  port: int(0..)
  accessToken: str
  maxTagLength: int(0..)
ProviderDatadogTracingProvider
  service: str
  port: int(0..)
  maxTagLength: int(0..)
ProviderSkyWalkingTracingProvider
  service: str
  port: int(0..)
  accessToken: str
ProviderStackdriverProviderLogging
  labels: {str}
ProviderStackdriverProvider
  debug: bool
  maxNumberOfAttributes: int
  maxNumberOfAnnotations: int
  maxNumberOfMessageEvents: int
  maxTagLength: int(0..)
  logging: ProviderStackdriverProviderLogging
ProviderOpenCensusAgentTracingProvider
  service: str
  port: int(0..)
  context: [enum(UNSPECIFIED W3C_TRACE_CONTEXT GRPC_BIN CLOUD_TRACE_CONTEXT B3)]
  maxTagLength: int(0..)
ProviderPrometheusMetricsProvider
FileAccessLogProviderLogFormat
  text: str
  labels: any
  ! oneof text labels
FileAccessLogProvider
  path: str
  logFormat: FileAccessLogProviderLogFormat
  omitEmptyValues: bool
HttpGrpcV3LogProvider
  service: str
  port: int(0..)
  logName: str
  filterStateObjectsToLog: [str]
  additionalRequestHeadersToLog: [str]
  additionalResponseHeadersToLog: [str]
  additionalResponseTrailersToLog: [str]
TcpGrpcV3LogProvider
  service: str
  port: int(0..)
  logName: str
  filterStateObjectsToLog: [str]
OpenTelemetryLogProviderLogFormat
  text: str
  labels: any
OpenTelemetryLogProvider
  service: str
  port: int(0..)
  logName: str
  logFormat: OpenTelemetryLogProviderLogFormat
OpenTelemetryDynatraceSamplerDynatraceApi
  service: str
  port: int(0..)
  http: ProviderHttpService
OpenTelemetryDynatraceSampler
  tenant: str
  clusterId: int
  rootSpansPerMinute: int(0..)
  httpService: OpenTelemetryDynatraceSamplerDynatraceApi
OpenTelemetry
  service: str
  port: int(0..)
  maxTagLength: int(0..)
  http: ProviderHttpService
  grpc: ProviderGrpcService
  resourceDetectors: ProviderResourceDetectors
  serviceAttributeEnrichment: enum(ISTIO_CANONICAL OTEL_SEMANTIC_CONVENTIONS)
  dynatraceSampler: OpenTelemetryDynatraceSampler
ProviderSDSProvider
  name: str
  service: str
  port: int(0..)
ProviderHttpService
  path: str
  timeout: seconds
  headers: [ProviderHttpHeader]
ProviderHttpHeader
  name: str
  value: str
  envName: str
  ! oneof value envName
ProviderResourceDetectorsEnvironmentResourceDetector
ProviderResourceDetectorsDynatraceResourceDetector
ProviderResourceDetectors
  environment: ProviderResourceDetectorsEnvironmentResourceDetector
  dynatrace: ProviderResourceDetectorsDynatraceResourceDetector
ProviderGrpcService
  timeout: seconds
  initialMetadata: [ProviderHttpHeader]
Provider
  name: str
  envoyExtAuthzHttp: ExtAuthzHttpProvider
  envoyExtAuthzGrpc: ExtAuthzGrpcProvider
  zipkin: ProviderZipkinTracingProvider
  lightstep: ProviderLightstepTracingProvider
  datadog: ProviderDatadogTracingProvider
  stackdriver: ProviderStackdriverProvider
  opencensus: ProviderOpenCensusAgentTracingProvider
  skywalking: ProviderSkyWalkingTracingProvider
  opentelemetry: OpenTelemetry
  prometheus: ProviderPrometheusMetricsProvider
  envoyFileAccessLog: FileAccessLogProvider
  envoyHttpAls: HttpGrpcV3LogProvider
  envoyTcpAls: TcpGrpcV3LogProvider
  envoyOtelAls: OpenTelemetryLogProvider
  sds: ProviderSDSProvider
  ! oneof envoyExtAuthzHttp envoyExtAuthzGrpc zipkin lightstep datadog stackdriver opencensus skywalking opentelemetry prometheus envoyFileAccessLog envoyHttpAls envoyTcpAls envoyOtelAls sds
MeshDefaultProviders
  tracing: [str]
  metrics: [str]
  accessLogging: [str]
MeshProxyPathNormalization
  normalization: enum(DEFAULT NONE BASE MERGE_SLASHES DECODE_AND_MERGE_SLASHES)
MeshTLSConfig
  minProtocolVersion: enum(TLS_AUTO TLSV1_2 TLSV1_3)
  ecdhCurves: [str]
  cipherSuites: [str]
MeshDefaultTrafficPolicy
  connectionPool: ConnectionPoolSettings
  outlierDetection: OutlierDetection
MeshConfig
  proxyListenPort: int
  proxyInboundListenPort: int
  proxyHttpPort: int
  connectTimeout: seconds
  hboneIdleTimeout: seconds
  protocolDetectionTimeout: seconds
  tcpKeepalive: TcpKeepalive
  ingressClass: str
  ingressService: str
  ingressControllerMode: enum(UNSPECIFIED OFF DEFAULT STRICT)
  ingressSelector: str
  enableTracing: bool
  accessLogFile: str
  accessLogFormat: str
  accessLogEncoding: enum(TEXT JSON)
  enableEnvoyAccessLogService: bool
  disableEnvoyListenerLog: bool
  defaultConfig: MeshProxy
  outboundTrafficPolicy: MeshOutboundTrafficPolicy
  inboundTrafficPolicy: MeshInboundTrafficPolicy
  configSources: [ConfigSource]
  enableAutoMtls: bool
  trustDomain: str
  trustDomainAliases: [str]
  caCertificates: [MeshCertificateData]
  defaultServiceExportTo: [str]
  defaultVirtualServiceExportTo: [str]
  defaultDestinationRuleExportTo: [str]
  rootNamespace: str
  localityLbSetting: LocalityLoadBalancerSetting
  zoneAwareLbSetting: any
  dnsRefreshRate: seconds
  h2UpgradePolicy: enum(DO_NOT_UPGRADE UPGRADE)
  inboundClusterStatName: str
  outboundClusterStatName: str
  certificates: [Certificate]
  serviceSettings: [MeshServiceSettings]
  serviceScopeConfigs: [MeshServiceScopeConfigs]
  enablePrometheusMerge: bool
  verifyCertificateAtClient: bool
  ca: MeshCA
  extensionProviders: [Provider]
  defaultProviders: MeshDefaultProviders
  discoverySelectors: [MeshLabelSelector]
  pathNormalization: MeshProxyPathNormalization
  defaultHttpRetryPolicy: HTTPRetry
  meshMTLS: MeshTLSConfig
  tlsDefaults: MeshTLSConfig
  defaultTrafficPolicy: MeshDefaultTrafficPolicy
  serviceEntryVisibility: ServiceEntryVisibility
MeshLabelSelector
  matchLabels: {str}
  matchExpressions: [MeshLabelSelectorRequirement]
MeshLabelSelectorRequirement
  key: str
  operator: str
  values: [str]
ServiceEntryVisibilityPolicy
  visibility: enum(VISIBILITY_UNSPECIFIED NONE NAMESPACE PUBLIC)
  matchingRules: [ServiceEntryVisibilityMatchRule]
ServiceEntryVisibilityMatchRule
  namespaceSelector: MeshLabelSelector
ServiceEntryVisibility
  defaultVisibility: enum(VISIBILITY_UNSPECIFIED NONE NAMESPACE PUBLIC)
  applyToSidecars: bool
  policies: [ServiceEntryVisibilityPolicy]
ConfigSource
  address: str
  tlsSettings: ClientTLSSettings
  subscribedResources: [enum(SERVICE_REGISTRY)]
Certificate
  secretName: str
  dnsNames: [str]
ProxyTracingZipkin
  address: str
ProxyTracingLightstep
  address: str
  accessToken: str
ProxyTracingDatadog
  address: str
ProxyTracingStackdriver
  debug: bool
  maxNumberOfAttributes: int
  maxNumberOfAnnotations: int
  maxNumberOfMessageEvents: int
ProxyTracingOpenCensusAgent
  address: str
  context: [enum(UNSPECIFIED W3C_TRACE_CONTEXT GRPC_BIN CLOUD_TRACE_CONTEXT B3)]
ProxyTracingCustomTag
  literal: ProxyTracingLiteral
  environment: ProxyTracingEnvironment
  header: ProxyTracingRequestHeader
  ! oneof literal environment header
ProxyTracingLiteral
  value: str
ProxyTracingEnvironment
  name: str
  defaultValue: str
ProxyTracingRequestHeader
  name: str
  defaultValue: str
ProxyTracing
  zipkin: ProxyTracingZipkin
  lightstep: ProxyTracingLightstep
  datadog: ProxyTracingDatadog
  stackdriver: ProxyTracingStackdriver
  openCensusAgent: ProxyTracingOpenCensusAgent
  customTags: {ProxyTracingCustomTag}
  maxPathTagLength: int(0..)
  sampling: num
  tlsSettings: ClientTLSSettings
  enableIstioTags: bool
  ! oneof zipkin lightstep datadog stackdriver openCensusAgent
ProxySDS
  enabled: bool
  k8sSaJwtPath: str
ProxyTopologyProxyProtocolConfiguration
ProxyTopology
  numTrustedProxies: int(0..)
  forwardClientCertDetails: enum(UNDEFINED SANITIZE FORWARD_ONLY APPEND_FORWARD SANITIZE_SET ALWAYS_FORWARD_ONLY)
  proxyProtocol: ProxyTopologyProxyProtocolConfiguration
ProxyPrivateKeyProviderCryptoMb
  pollDelay: seconds
  fallback: bool
ProxyPrivateKeyProviderQAT
  pollDelay: seconds
  fallback: bool
ProxyPrivateKeyProvider
  cryptomb: ProxyPrivateKeyProviderCryptoMb
  qat: ProxyPrivateKeyProviderQAT
  ! oneof cryptomb qat
MeshProxyProxyStatsMatcher
  inclusionPrefixes: [str]
  inclusionSuffixes: [str]
  inclusionRegexps: [str]
MeshProxyProxyHeadersServer
  disabled: bool
  value: str
MeshProxyProxyHeadersRequestId
  disabled: bool
MeshProxyProxyHeadersAttemptCount
  disabled: bool
MeshProxyProxyHeadersXForwardedHost
  enabled: bool
MeshProxyProxyHeadersXForwardedPort
  enabled: bool
MeshProxyProxyHeadersEnvoyDebugHeaders
  disabled: bool
MeshProxyProxyHeadersMetadataExchangeHeaders
  mode: enum(UNDEFINED IN_MESH)
MeshProxyProxyHeadersSetCurrentClientCertDetails
  subject: bool
  cert: bool
  chain: bool
  dns: bool
  uri: bool
MeshProxyProxyHeaders
  forwardedClientCert: enum(UNDEFINED SANITIZE FORWARD_ONLY APPEND_FORWARD SANITIZE_SET ALWAYS_FORWARD_ONLY)
  setCurrentClientCertDetails: MeshProxyProxyHeadersSetCurrentClientCertDetails
  requestId: MeshProxyProxyHeadersRequestId
  server: MeshProxyProxyHeadersServer
  attemptCount: MeshProxyProxyHeadersAttemptCount
  envoyDebugHeaders: MeshProxyProxyHeadersEnvoyDebugHeaders
  metadataExchangeHeaders: MeshProxyProxyHeadersMetadataExchangeHeaders
  preserveHttp1HeaderCase: bool
  xForwardedHost: MeshProxyProxyHeadersXForwardedHost
  xForwardedPort: MeshProxyProxyHeadersXForwardedPort
MeshProxyConnectionSettings
  profile: enum(SIDECAR EDGE)
  listenerPerConnectionBufferLimitBytes: int
  clusterPerConnectionBufferLimitBytes: int
  httpIdleTimeout: seconds
  httpMaxConnectionDuration: seconds
  httpDrainTimeout: seconds
  httpRequestTimeout: seconds
  httpRequestHeadersTimeout: seconds
  httpStreamIdleTimeout: seconds
  httpMaxStreamDuration: seconds
  httpMaxConcurrentStreams: int
  http2InitialStreamWindowSize: int
  http2InitialConnectionWindowSize: int
  httpHeadersWithUnderscoresAction: enum(HEADERS_WITH_UNDERSCORES_UNSPECIFIED HEADERS_WITH_UNDERSCORES_ALLOW HEADERS_WITH_UNDERSCORES_REJECT_REQUEST HEADERS_WITH_UNDERSCORES_DROP_HEADER)
  httpMergeSlashes: bool
  httpPathWithEscapedSlashesAction: enum(PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED KEEP_UNCHANGED REJECT_REQUEST UNESCAPE_AND_REDIRECT UNESCAPE_AND_FORWARD)
  listenerConnectionLimit: int
  globalDownstreamConnectionLimit: int
MeshProxy
  configPath: str
  binaryPath: str
  serviceCluster: str
  tracingServiceName: enum(APP_LABEL_AND_NAMESPACE CANONICAL_NAME_ONLY CANONICAL_NAME_AND_NAMESPACE)
  drainDuration: seconds
  discoveryAddress: str
  discoveryRefreshDelay: seconds
  zipkinAddress: str
  statsdUdpAddress: str
  envoyMetricsServiceAddress: str
  proxyAdminPort: int
  availabilityZone: str
  controlPlaneAuthPolicy: enum(NONE MUTUAL_TLS INHERIT)
  customConfigFile: str
  statNameLength: int
  concurrency: int
  proxyBootstrapTemplatePath: str
  interceptionMode: enum(REDIRECT TPROXY NONE)
  tracing: ProxyTracing
  sds: ProxySDS
  envoyAccessLogService: ProxyRemoteService
  envoyMetricsService: ProxyRemoteService
  proxyMetadata: {str}
  runtimeValues: {str}
  statusPort: int
  extraStatTags: [str]
  gatewayTopology: ProxyTopology
  terminationDrainDuration: seconds
  meshId: str
  readinessProbe: ReadinessProbe
  proxyStatsMatcher: MeshProxyProxyStatsMatcher
  holdApplicationUntilProxyStarts: bool
  caCertificatesPem: [str]
  image: ProxyImage
  privateKeyProvider: ProxyPrivateKeyProvider
  proxyHeaders: MeshProxyProxyHeaders
  fileFlushInterval: seconds
  fileFlushMinSizeKb: int(0..)
  statsCompression: bool
  connectionSettings: MeshProxyConnectionSettings
  ! oneof serviceCluster tracingServiceName
ProxyRemoteService
  address: str
  tlsSettings: ClientTLSSettings
  tcpKeepalive: TcpKeepalive
NetworkEndpoints
  fromCidr: str
  fromRegistry: str
  ! oneof fromCidr fromRegistry
NetworkGateway
  registryServiceName: str
  address: str
  port: int(0..)
  locality: str
  ! oneof registryServiceName address
Network
  endpoints: [NetworkEndpoints]
  gateways: [NetworkGateway]
MeshNetworks
  networks: {Network}
"""
