"""Types of ``gateway.networking.k8s.io``, standard and experimental channel; facts from its API reference (1.6)."""

GATEWAY_API = r"""
GatewayClass
  controllerName!: str(1..253 /[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+/)
  parametersRef: ParametersReference
  description: str(..64)
ParametersReference
  group!: Group
  kind!: KindName
  name!: str(1..253)
  namespace: NamespaceName
LocalParametersReference
  group!: Group
  kind!: KindName
  name!: str(1..253)
Gateway
  gatewayClassName!: str(1..253)
  listeners: [Listener](..64 key=name)
  addresses: [GatewayAddress](..16)
  infrastructure: GatewayInfrastructure
  allowedListeners: AllowedListeners
  tls: GatewayTLS
  backendTLS: GatewayBackendTLS
  defaultScope: enum(All None)
GatewayBackendTLS
  clientCertificateRef: SecretReference
GatewayTLS
  backend: GatewayBackendTLS
  frontend: FrontendTLS
FrontendTLS
  default!: FrontendTLSConfig
  perPort: [FrontendTLSPort](..64 key=port)
FrontendTLSPort
  port!: int(1..65535)
  tls!: FrontendTLSConfig
FrontendTLSConfig
  validation: FrontendValidation
FrontendValidation
  caCertificateRefs!: [ObjectReference](1..16)
  mode: enum(AllowValidOnly AllowInsecureFallback)
ObjectReference
  group!: Group
  kind!: KindName
  name!: str(1..253)
  namespace: NamespaceName
AllowedListeners
  namespaces: ListenerNamespaces
ListenerNamespaces
  from: enum(All Selector Same None)
  selector: LabelSelector
GatewayInfrastructure
  labels: {str(..63)}(..8)
  annotations: {str(..4096)}(..8)
  parametersRef: LocalParametersReference
GatewayAddress
  type: str(1..253)
  value: str(..253)
Listener
  name!: str(1..253 /[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)
  hostname: Hostname
  port!: int(1..65535)
  protocol!: str(1..255)
  tls: ListenerTLS
  allowedRoutes: AllowedRoutes
ListenerTLS
  mode: enum(Terminate Passthrough)
  certificateRefs: [SecretReference](..64)
  options: {str(..4096)}(..16)
  frontendValidation: any
SecretReference
  group: Group
  kind: KindName
  name!: str(1..253)
  namespace: NamespaceName
AllowedRoutes
  namespaces: RouteNamespaces
  kinds: [RouteGroupKind](..8)
RouteNamespaces
  from: enum(All Selector Same)
  selector: LabelSelector
LabelSelector
  matchLabels: {str}
  matchExpressions: [LabelExpression]
LabelExpression
  key!: str
  operator!: str
  values: [str]
RouteGroupKind
  group: Group
  kind!: KindName
ListenerSet
  parentRef!: ParentReference
  listeners!: [Listener](1..64 key=name)
HTTPRoute
  parentRefs: [ParentReference](..32)
  hostnames: [Hostname](..16)
  rules: [HTTPRouteRule](1..16)
  useDefaultGateways: enum(All None)
ParentReference
  group: Group
  kind: KindName
  namespace: NamespaceName
  name!: str(1..253)
  sectionName: SectionName
  port: int(1..65535)
HTTPRouteRule
  name: SectionName
  matches: [HTTPRouteMatch](..64)
  filters: [HTTPRouteFilter](..16)
  backendRefs: [HTTPBackendRef](..16)
  timeouts: HTTPRouteTimeouts
  retry: HTTPRouteRetry
  sessionPersistence: SessionPersistence
HTTPRouteTimeouts
  request: GatewayDuration
  backendRequest: GatewayDuration
HTTPRouteRetry
  codes: [int(400..599)]
  attempts: int
  backoff: GatewayDuration
SessionPersistence
  absoluteTimeout: GatewayDuration
  type: enum(Cookie Header)
  cookie: SessionCookie
  header: SessionHeader
  sessionName: str(..128)
  idleTimeout: GatewayDuration
  cookieConfig: SessionCookie
SessionCookie
  name: str
  path: str
  lifetimeType: enum(Permanent Session)
SessionHeader
  name!: str
HTTPRouteMatch
  path: HTTPPathMatch
  headers: [HTTPHeaderMatch](..16 key=name)
  queryParams: [HTTPQueryParamMatch](..16 key=name)
  method: enum(GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH)
HTTPPathMatch
  type: enum(Exact PathPrefix RegularExpression)
  value: str(..1024)
HTTPHeaderMatch
  type: enum(Exact RegularExpression)
  name!: str(1..256 /[A-Za-z0-9!#$%&'*+\-.^_`|~]+/)
  value!: str(1..4096)
HTTPQueryParamMatch
  type: enum(Exact RegularExpression)
  name!: str(1..256 /[A-Za-z0-9!#$%&'*+\-.^_`|~]+/)
  value!: str(1..1024)
HTTPRouteFilter
  type!: enum(RequestHeaderModifier ResponseHeaderModifier RequestMirror RequestRedirect URLRewrite ExtensionRef CORS ExternalAuth)
  requestHeaderModifier: HeaderFilter
  responseHeaderModifier: HeaderFilter
  requestMirror: RequestMirror
  requestRedirect: RequestRedirect
  urlRewrite: URLRewrite
  cors: CORSFilter
  externalAuth: ExternalAuth
  extensionRef: LocalParametersReference
HeaderFilter
  set: [HeaderValue](..16 key=name)
  add: [HeaderValue](..16 key=name)
  remove: [str](..16 set)
HeaderValue
  name!: str(1..256 /[A-Za-z0-9!#$%&'*+\-.^_`|~]+/)
  value!: str(1..4096 /[!-~]+([\t ]?[!-~]+)*/)
RequestMirror
  backendRef!: BackendObjectReference
  percent: int(0..100)
  fraction: Fraction
  ! oneof percent fraction
Fraction
  numerator!: int(0..)
  denominator: int(1..)
RequestRedirect
  scheme: enum(http https)
  hostname: PreciseHostname
  path: HTTPPathModifier
  port: int(1..65535)
  statusCode: int
HTTPPathModifier
  type!: enum(ReplaceFullPath ReplacePrefixMatch)
  replaceFullPath: str(..1024)
  replacePrefixMatch: str(..1024)
URLRewrite
  hostname: PreciseHostname
  path: HTTPPathModifier
CORSFilter
  allowOrigins: [str(1..253 /\*|https?:\/\/(((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)/)](..64 set)
  allowCredentials: bool
  allowMethods: [enum(GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH *)](..9 set)
  allowHeaders: [str(1..256)](..64 set)
  exposeHeaders: [str(1..256)](..64 set)
  maxAge: int(1..)
ExternalAuth
  protocol!: enum(HTTP GRPC)
  backendRef!: BackendObjectReference
  grpc: any
  http: any
  forwardBody: any
BackendObjectReference
  group: Group
  kind: KindName
  name!: str(1..253)
  namespace: NamespaceName
  port: int(1..65535)
HTTPBackendRef
  group: Group
  kind: KindName
  name!: str(1..253)
  namespace: NamespaceName
  port: int(1..65535)
  weight: int(0..1000000)
  filters: [HTTPRouteFilter](..16)
GRPCRoute
  parentRefs: [ParentReference](..32)
  hostnames: [Hostname](..16)
  rules: [GRPCRouteRule](..16)
  useDefaultGateways: enum(All None)
GRPCRouteRule
  name: SectionName
  matches: [GRPCRouteMatch](..64)
  filters: [GRPCRouteFilter](..16)
  backendRefs: [GRPCBackendRef](..16)
  sessionPersistence: SessionPersistence
GRPCRouteMatch
  method: GRPCMethodMatch
  headers: [GRPCHeaderMatch](..16 key=name)
GRPCMethodMatch
  type: enum(Exact RegularExpression)
  service: str(..1024)
  method: str(..1024)
GRPCHeaderMatch
  type: enum(Exact RegularExpression)
  name!: str(1..256 /[A-Za-z0-9!#$%&'*+\-.^_`|~]+/)
  value!: str(1..4096)
GRPCRouteFilter
  type!: enum(ResponseHeaderModifier RequestHeaderModifier RequestMirror ExtensionRef)
  requestHeaderModifier: HeaderFilter
  responseHeaderModifier: HeaderFilter
  requestMirror: RequestMirror
  extensionRef: LocalParametersReference
GRPCBackendRef
  group: Group
  kind: KindName
  name!: str(1..253)
  namespace: NamespaceName
  port: int(1..65535)
  weight: int(0..1000000)
  filters: [GRPCRouteFilter](..16)
TCPRoute
  parentRefs: [ParentReference](..32)
  rules!: [L4RouteRule](1..16)
  useDefaultGateways: enum(All None)
UDPRoute
  parentRefs: [ParentReference](..32)
  rules!: [L4RouteRule](1..16)
  useDefaultGateways: enum(All None)
TLSRoute
  parentRefs: [ParentReference](..32)
  hostnames: [Hostname](..1024)
  rules!: [L4RouteRule](1..16)
  useDefaultGateways: enum(All None)
L4RouteRule
  name: SectionName
  backendRefs!: [BackendRef](1..16)
BackendRef
  group: Group
  kind: KindName
  name!: str(1..253)
  namespace: NamespaceName
  port: int(1..65535)
  weight: int(0..1000000)
ReferenceGrant
  from!: [ReferenceGrantFrom](1..16)
  to!: [ReferenceGrantTo](1..16)
ReferenceGrantFrom
  group!: Group
  kind!: KindName
  namespace!: NamespaceName
ReferenceGrantTo
  group!: Group
  kind!: KindName
  name: str(1..253)
BackendTLSPolicy
  targetRefs!: [PolicyTarget](1..16)
  validation!: BackendTLSValidation
  options: {str(..4096)}(..16)
PolicyTarget
  group!: Group
  kind!: KindName
  name!: str(1..253)
  sectionName: SectionName
BackendTLSValidation
  caCertificateRefs: [LocalParametersReference](..8)
  hostname!: PreciseHostname
  subjectAltNames: [SubjectAltName](..5)
  wellKnownCACertificates: str(1..253)
SubjectAltName
  type!: enum(Hostname URI)
  hostname: str(1..253)
  uri: str(1..253)
"""
