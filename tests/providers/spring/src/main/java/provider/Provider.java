package provider;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** Spring Authorization Server as Spring Boot sets it up: one user and the clients of application.yaml. */
@SpringBootApplication
public class Provider {

    public static void main(String[] arguments) {
        SpringApplication.run(Provider.class, arguments);
    }
}
