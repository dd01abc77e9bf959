package orders;

import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import java.util.Map;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.autoconfigure.security.oauth2.resource.servlet.JwkSetUriJwtDecoderBuilderCustomizer;
import org.springframework.context.annotation.Bean;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

@SpringBootApplication
@RestController
public class Orders {
  public static void main(String[] arguments) {
    SpringApplication.run(Orders.class, arguments);
  }

  @Bean // Spring takes `typ: JWT` alone; access tokens of RFC 9068 say `at+jwt`
  JwkSetUriJwtDecoderBuilderCustomizer types() {
    var types = new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("at+jwt"), JOSEObjectType.JWT, null);
    return decoder -> decoder.jwtProcessorCustomizer(processor -> processor.setJWSTypeVerifier(types));
  }

  @GetMapping("/orders")
  Map<String, String> orders(@AuthenticationPrincipal Jwt user) {
    return Map.of("sub", user.getSubject());
  }
}
