import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.core.ResponseInputStream;
import software.amazon.awssdk.core.SdkField;
import software.amazon.awssdk.core.SdkPojo;
import software.amazon.awssdk.core.protocol.MarshallingType;
import software.amazon.awssdk.core.retry.RetryPolicy;
import software.amazon.awssdk.core.traits.ListTrait;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.workmail.WorkMailClient;
import software.amazon.awssdk.services.workmailmessageflow.WorkMailMessageFlowClient;
import software.amazon.awssdk.utils.builder.SdkBuilder;

/**
 * Calls operations of the API for test/sdk by the AWS SDK for Java v2: reads a call a line, writes an answer a line. Inputs
 * and outputs are walked by the SDK's own description of their members.
 */
public final class Caller {
    private static final String SERVICES = "software.amazon.awssdk.services.";

    public static void main(String[] args) throws Exception {
        WorkMailClient api = WorkMailClient.builder()
            .endpointOverride(URI.create(System.getenv("AWS_ENDPOINT_URL_WORKMAIL")))
            .region(Region.of(System.getenv("AWS_REGION")))
            .overrideConfiguration(c -> c.retryPolicy(RetryPolicy.none()))
            .build();
        WorkMailMessageFlowClient flow = WorkMailMessageFlowClient.builder()
            .endpointOverride(URI.create(System.getenv("AWS_ENDPOINT_URL_WORKMAILMESSAGEFLOW")))
            .region(Region.of(System.getenv("AWS_REGION")))
            .overrideConfiguration(c -> c.retryPolicy(RetryPolicy.none()))
            .build();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonObject request = JsonParser.parseString(line).getAsJsonObject();
            String operation = request.get("call").getAsString();
            Object client = operation.endsWith("RawMessageContent") ? flow : api;
            out.println(new Gson().toJson(call(client, operation, request.getAsJsonObject("input"))));
        }
    }

    private static JsonObject call(Object api, String operation, JsonObject input) throws Exception {
        Class<?> service = api instanceof WorkMailClient ? WorkMailClient.class : WorkMailMessageFlowClient.class;
        String model = SERVICES + (api instanceof WorkMailClient ? "workmail" : "workmailmessageflow") + ".model.";
        Class<?> requestClass = Class.forName(model + operation + "Request");
        SdkPojo builder = (SdkPojo) requestClass.getMethod("builder").invoke(null);
        fill(builder, input);
        Object request = ((SdkBuilder<?, ?>) builder).build();
        String name = operation.substring(0, 1).toLowerCase() + operation.substring(1);
        Method method = service.getMethod(name, requestClass);
        JsonObject answer = new JsonObject();
        try {
            answer.add("output", plain(method.invoke(api, request)));
        } catch (InvocationTargetException e) {
            if (!(e.getCause() instanceof AwsServiceException failure)) {
                throw e;
            }
            answer.addProperty("error", failure.awsErrorDetails().errorCode());
            answer.addProperty("type", failure.getClass().getSimpleName());
            answer.addProperty("message", failure.awsErrorDetails().errorMessage());
        }
        return answer;
    }

    /** Sets the members of a structure that is being built. */
    private static void fill(SdkPojo target, JsonObject values) {
        for (SdkField<?> field : target.sdkFields()) {
            if (values.has(field.memberName())) {
                field.set(target, value(field, values.get(field.memberName())));
            }
        }
    }

    private static Object value(SdkField<?> field, JsonElement json) {
        MarshallingType<?> type = field.marshallingType();
        if (type == MarshallingType.STRING) {
            return json.getAsString();
        } else if (type == MarshallingType.BOOLEAN) {
            return json.getAsBoolean();
        } else if (type == MarshallingType.INTEGER) {
            return json.getAsInt();
        } else if (type == MarshallingType.LIST) {
            SdkField<?> member = field.getTrait(ListTrait.class).memberFieldInfo();
            List<Object> list = new ArrayList<>();
            json.getAsJsonArray().forEach(item -> list.add(value(member, item)));
            return list;
        } else if (type == MarshallingType.SDK_POJO) {
            SdkPojo builder = field.constructor().get();
            fill(builder, json.getAsJsonObject());
            return ((SdkBuilder<?, ?>) builder).build();
        }
        throw new IllegalArgumentException("no such input is needed: " + type);
    }

    /** Turns what an operation returned into JSON, times into seconds. */
    private static JsonElement plain(Object value) throws IOException {
        if (value instanceof ResponseInputStream<?> stream) {
            JsonObject object = new JsonObject();
            object.addProperty("messageContent", Base64.getEncoder().encodeToString(stream.readAllBytes()));
            return object;
        } else if (value instanceof SdkPojo pojo) {
            JsonObject object = new JsonObject();
            for (SdkField<?> field : pojo.sdkFields()) {
                Object member = field.getValueOrDefault(pojo);
                if (member != null) {
                    object.add(field.memberName(), plain(member));
                }
            }
            return object;
        } else if (value instanceof List<?> list) {
            JsonArray array = new JsonArray();
            for (Object item : list) {
                array.add(plain(item));
            }
            return array;
        } else if (value instanceof Map<?, ?>) {
            throw new IllegalArgumentException("no output holds a map");
        } else if (value instanceof Instant instant) {
            return new Gson().toJsonTree(instant.toEpochMilli() / 1000.0);
        }
        return new Gson().toJsonTree(value);
    }
}
