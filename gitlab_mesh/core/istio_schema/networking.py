"""Types of ``networking.istio.io``, in the notation of ``types``; facts from Istio's API reference (1.31)."""

NETWORKING = """
VirtualService
  hosts: [str]
  gateways: [str]
  http: [HTTPRoute]
  tls: [TLSRoute]
  tcp: [TCPRoute]
  exportTo: [str]
HTTPRoute
  name: str
  match: [HTTPMatchRequest]
  route: [HTTPRouteDestination]
  redirect: HTTPRedirect
  directResponse: HTTPDirectResponse
  delegate: Delegate
  rewrite: HTTPRewrite
  timeout: dur
  retries: HTTPRetry
  fault: HTTPFaultInjection
  mirror: Destination
  mirrors: [HTTPMirrorPolicy]
  mirrorPercent: int?(0..)
  mirror_percent: int?(0..)
  mirrorPercentage: Percent
  corsPolicy: CorsPolicy
  headers: Headers
Delegate
  name: str
  namespace: str
Headers
  request: HeaderOperations
  response: HeaderOperations
HeaderOperations
  set: {str}
  add: {str}
  remove: [str]
HTTPMatchRequest
  name: str
  uri: StringMatch
  scheme: StringMatch
  method: StringMatch
  authority: StringMatch
  headers: {StringMatch}
  port: int(0..)
  sourceLabels: {str}
  gateways: [str]
  queryParams: {StringMatch}
  ignoreUriCase: bool
  withoutHeaders: {StringMatch}
  sourceNamespace: str
  statPrefix: str
StringMatch
  exact: str
  prefix: str
  regex: str
  ! oneof exact prefix regex
HTTPRouteDestination
  destination!: Destination
  weight: int
  headers: Headers
RouteDestination
  destination!: Destination
  weight: int
Destination
  host!: str
  subset: str
  port: PortSelector
PortSelector
  number: int(0..)
HTTPRedirect
  uri: str
  authority: str
  port: int(0..)
  derivePort: enum(FROM_PROTOCOL_DEFAULT FROM_REQUEST_PORT)
  scheme: str
  prefixRewrite: str
  redirectCode: int(0..)
  ! oneof port derivePort
HTTPDirectResponse
  status!: int(0..)
  body: HTTPBody
HTTPBody
  string: str
  bytes: str
  ! oneof string bytes
HTTPRewrite
  uri: str
  authority: str
  uriRegexRewrite: RegexRewrite
RegexRewrite
  match: str
  rewrite: str
HTTPRetry
  attempts: int
  perTryTimeout: dur
  retryOn: str
  retryRemoteLocalities: bool?
  retryIgnorePreviousHosts: bool?
  backoff: dur
HTTPFaultInjection
  delay: Delay
  abort: Abort
Delay
  percent: int
  fixedDelay: dur
  exponentialDelay: str
  percentage: Percent
  ! oneof fixedDelay exponentialDelay
Abort
  httpStatus: int
  grpcStatus: str
  http2Error: str
  percentage: Percent
  ! oneof httpStatus grpcStatus http2Error
Percent
  value: num
HTTPMirrorPolicy
  destination!: Destination
  percentage: Percent
CorsPolicy
  allowOrigin: [str]
  allowOrigins: [StringMatch]
  allowMethods: [str]
  allowHeaders: [str]
  exposeHeaders: [str]
  maxAge: dur
  allowCredentials: bool?
  unmatchedPreflights: enum(UNSPECIFIED FORWARD IGNORE)
TLSRoute
  match!: [TLSMatchAttributes]
  route: [RouteDestination]
TLSMatchAttributes
  sniHosts!: [str]
  destinationSubnets: [str]
  port: int(0..)
  sourceLabels: {str}
  gateways: [str]
  sourceNamespace: str
TCPRoute
  match: [L4MatchAttributes]
  route: [RouteDestination]
L4MatchAttributes
  destinationSubnets: [str]
  port: int(0..)
  sourceSubnet: str
  sourceLabels: {str}
  gateways: [str]
  sourceNamespace: str
DestinationRule
  host!: str
  trafficPolicy: TrafficPolicy
  subsets: [Subset]
  exportTo: [str]
  workloadSelector: WorkloadSelectorLabels
WorkloadSelectorLabels
  matchLabels: {NoWildcard}(..4096)
Subset
  name!: str
  labels: {str}
  trafficPolicy: TrafficPolicy
TrafficPolicy
  loadBalancer: LoadBalancerSettings
  connectionPool: ConnectionPoolSettings
  outlierDetection: OutlierDetection
  tls: ClientTLSSettings
  portLevelSettings: [PortTrafficPolicy](..4096)
  tunnel: TunnelSettings
  proxyProtocol: ProxyProtocol
  retryBudget: RetryBudget
PortTrafficPolicy
  port: PortSelector
  loadBalancer: LoadBalancerSettings
  connectionPool: ConnectionPoolSettings
  outlierDetection: OutlierDetection
  tls: ClientTLSSettings
TunnelSettings
  protocol: str
  targetHost!: str
  targetPort!: int(0..)
ProxyProtocol
  version: enum(V1 V2)
RetryBudget
  percent: num?(0..100)
  minRetryConcurrency: int(0..)
  budgetInterval: dur
LoadBalancerSettings
  simple: enum(UNSPECIFIED LEAST_CONN RANDOM PASSTHROUGH ROUND_ROBIN LEAST_REQUEST)
  consistentHash: ConsistentHashLB
  localityLbSetting: LocalityLoadBalancerSetting
  warmupDurationSecs: dur
  warmup: WarmupConfiguration
  backendUtilization: BackendUtilization
  zoneAwareLbSetting: ZoneAwareLbSetting
  ! oneof simple consistentHash
BackendUtilization
  errorUtilizationPenaltyPercent: int(0..)
  metricNamesForComputingUtilization: [str]
  weightExpirationPeriod: dur
  weightStabilizationPeriod: dur
  weightUpdatePeriod: dur
ZoneAwareLbSetting
  enabled: bool
  failover: [Failover]
  failoverPriority: [str]
  minClusterSize: int(1..)
WarmupConfiguration
  duration!: dur
  minimumPercent: num?(0..100)
  aggression: num?(1..)
ConsistentHashLB
  httpHeaderName: str
  httpCookie: HTTPCookie
  useSourceIp: bool
  httpQueryParameterName: str
  ringHash: RingHash
  maglev: MagLev
  minimumRingSize: int(0..)
  ! oneof httpHeaderName httpCookie useSourceIp httpQueryParameterName
  ! oneof ringHash maglev
HTTPCookie
  name!: str
  path: str
  ttl: dur
  attributes: [CookieAttribute]
CookieAttribute
  name!: str
  value: str
RingHash
  minimumRingSize: int(0..)
MagLev
  tableSize: int(0..)
LocalityLoadBalancerSetting
  distribute: [Distribute]
  failover: [Failover]
  failoverPriority: [str]
  enabled: bool?
Distribute
  from: str
  to: {int(0..)}
Failover
  from: str
  to: str
ConnectionPoolSettings
  tcp: TCPSettings
  http: HTTPSettings
TCPSettings
  maxConnections: int
  connectTimeout: dur
  tcpKeepalive: TcpKeepalive
  maxConnectionDuration: dur
  idleTimeout: dur
TcpKeepalive
  probes: int(0..)
  time: dur
  interval: dur
HTTPSettings
  http1MaxPendingRequests: int
  http2MaxRequests: int
  maxRequestsPerConnection: int
  maxRetries: int
  idleTimeout: dur
  h2UpgradePolicy: enum(DEFAULT DO_NOT_UPGRADE UPGRADE)
  useClientProtocol: bool
  http2KeepAlive: Http2KeepAlive
  maxConcurrentStreams: int
Http2KeepAlive
  interval: dur
  timeout: dur
OutlierDetection
  consecutiveErrors: int
  splitExternalLocalOriginErrors: bool
  consecutiveLocalOriginFailures: int?(0..)
  consecutiveGatewayErrors: int?(0..)
  consecutive5xxErrors: int?(0..)
  interval: dur
  baseEjectionTime: dur
  maxEjectionPercent: int
  outlierDetectionHttpErrorCodes: [int(100..599)]
  minHealthPercent: int
ClientTLSSettings
  mode: enum(DISABLE SIMPLE MUTUAL ISTIO_MUTUAL)
  clientCertificate: str
  privateKey: str
  caCertificates: str
  credentialName: str
  subjectAltNames: [str]
  sni: str
  insecureSkipVerify: bool?
  caCrl: str
Gateway
  servers: [Server]
  selector: {str}
Server
  port!: GatewayPort
  bind: str
  hosts!: [str]
  tls: ServerTLSSettings
  defaultEndpoint: str
  name: str
GatewayPort
  number!: int(0..)
  protocol!: str
  name!: str
  targetPort: int(0..)
ServerTLSSettings
  httpsRedirect: bool
  mode: enum(PASSTHROUGH SIMPLE MUTUAL AUTO_PASSTHROUGH ISTIO_MUTUAL OPTIONAL_MUTUAL)
  serverCertificate: str
  privateKey: str
  caCertificates: str
  caCrl: str
  credentialName: str
  credentialNames: [str](1..2)
  caCertCredentialName: str
  tlsCertificates: [TLSCertificate](1..2)
  subjectAltNames: [str]
  verifyCertificateSpki: [str]
  verifyCertificateHash: [str]
  minProtocolVersion: enum(TLS_AUTO TLSV1_0 TLSV1_1 TLSV1_2 TLSV1_3)
  maxProtocolVersion: enum(TLS_AUTO TLSV1_0 TLSV1_1 TLSV1_2 TLSV1_3)
  cipherSuites: [str]
  ecdhCurves: [str]
  insecureSkipVerify: bool
  ! oneof tlsCertificates credentialNames
  ! oneof credentialName credentialNames
TLSCertificate
  serverCertificate: str
  privateKey: str
  caCertificates: str
ServiceEntry
  hosts!: [str](1..256)
  addresses: [str(..64)](..256)
  ports: [ServicePort](..256 key=name)
  location: enum(MESH_EXTERNAL MESH_INTERNAL)
  resolution: enum(NONE STATIC DNS DNS_ROUND_ROBIN DYNAMIC_DNS)
  endpoints: [WorkloadEntry](..4096)
  workloadSelector: WorkloadSelector
  exportTo: [str]
  subjectAltNames: [str]
  ! oneof workloadSelector endpoints
ServicePort
  number!: int(1..65535)
  protocol: str(..256)
  name!: str(..256)
  targetPort: int(1..65535)
WorkloadSelector
  labels: {NoWildcard}(..256)
WorkloadEntry
  address: str(..256)
  ports: {int(1..65535)}(..128)
  labels: {str}(..256)
  network: str(..2048)
  locality: str(..2048)
  weight: int(0..)
  serviceAccount: str(..253)
WorkloadGroup
  metadata: WorkloadGroupMetadata
  template!: WorkloadEntry
  probe: ReadinessProbe
WorkloadGroupMetadata
  labels: {str}(..256)
  annotations: {str}(..256)
ReadinessProbe
  initialDelaySeconds: int(0..)
  timeoutSeconds: int(0..)
  periodSeconds: int(0..)
  successThreshold: int(0..)
  failureThreshold: int(0..)
  httpGet: HTTPHealthCheck
  tcpSocket: TCPHealthCheck
  exec: ExecHealthCheck
  grpc: GrpcHealthCheck
  ! oneof httpGet tcpSocket exec grpc
HTTPHealthCheck
  path: str
  port!: int(1..65535)
  host: str
  scheme: str
  httpHeaders: [HTTPHeader]
HTTPHeader
  name: str
  value: str
TCPHealthCheck
  host: str
  port!: int(1..65535)
GrpcHealthCheck
  service: str
  port: int(1..65535)
ExecHealthCheck
  command!: [str(1..)]
Sidecar
  workloadSelector: WorkloadSelector
  ingress: [IstioIngressListener]
  egress: [IstioEgressListener]
  outboundTrafficPolicy: OutboundTrafficPolicy
  inboundConnectionPool: ConnectionPoolSettings
IstioIngressListener
  port!: SidecarPort
  bind: str
  captureMode: enum(DEFAULT IPTABLES NONE)
  defaultEndpoint: str
  tls: ServerTLSSettings
  connectionPool: ConnectionPoolSettings
IstioEgressListener
  port: SidecarPort
  bind: str
  captureMode: enum(DEFAULT IPTABLES NONE)
  hosts!: [str]
SidecarPort
  number: int(0..)
  protocol: str
  name: str
  targetPort: int(0..)
OutboundTrafficPolicy
  mode: enum(REGISTRY_ONLY ALLOW_ANY)
  egressProxy: Destination
EnvoyFilter
  workloadSelector: WorkloadSelector
  targetRefs: [PolicyTargetReference](..16)
  configPatches: [EnvoyConfigObjectPatch]
  priority: int
  ! oneof workloadSelector targetRefs
EnvoyConfigObjectPatch
  applyTo: enum(INVALID LISTENER FILTER_CHAIN NETWORK_FILTER HTTP_FILTER ROUTE_CONFIGURATION VIRTUAL_HOST HTTP_ROUTE CLUSTER EXTENSION_CONFIG BOOTSTRAP LISTENER_FILTER)
  match: EnvoyConfigObjectMatch
  patch: EnvoyPatch
EnvoyConfigObjectMatch
  context: enum(ANY SIDECAR_INBOUND SIDECAR_OUTBOUND GATEWAY WAYPOINT)
  proxy: ProxyMatch
  listener: ListenerMatch
  routeConfiguration: RouteConfigurationMatch
  cluster: ClusterMatch
  waypoint: WaypointMatch
  ! oneof listener routeConfiguration cluster waypoint
ProxyMatch
  proxyVersion: str
  metadata: {str}
ListenerMatch
  portNumber: int(0..)
  portName: str
  filterChain: FilterChainMatch
  listenerFilter: str
  name: str
FilterChainMatch
  name: str
  sni: str
  transportProtocol: str
  transportSocket: str
  applicationProtocols: str
  filter: FilterMatch
  destinationPort: int(0..)
FilterMatch
  name: str
  subFilter: SubFilterMatch
SubFilterMatch
  name: str
RouteConfigurationMatch
  portNumber: int(0..)
  portName: str
  gateway: str
  vhost: VirtualHostMatch
  name: str
VirtualHostMatch
  name: str
  domainName: str
  route: RouteMatch
RouteMatch
  name: str
  action: enum(ANY ROUTE REDIRECT DIRECT_RESPONSE)
ClusterMatch
  portNumber: int(0..)
  service: str
  subset: str
  name: str
WaypointMatch
  portNumber: int(1..65535)
  filter: FilterMatch
  route: RouteNameMatch
RouteNameMatch
  name: str
EnvoyPatch
  operation: enum(INVALID MERGE ADD REMOVE INSERT_BEFORE INSERT_AFTER INSERT_FIRST REPLACE MERGE_AND_REPLACE_LIST)
  value: any
  filterClass: enum(UNSPECIFIED AUTHN AUTHZ STATS)
ProxyConfig
  selector: MatchLabels
  concurrency: int?(0..)
  environmentVariables: {str(..2048)}
  image: ProxyImage
MatchLabels
  matchLabels: {NoWildcard}(..4096)
ProxyImage
  imageType: str
PolicyTargetReference
  group: Group
  kind!: KindName
  name!: str(1..253)
  namespace: str(..0)
"""
